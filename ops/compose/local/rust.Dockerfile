# Stands in for rust:1.95-bookworm. The context is a toolchain of the machine, as `rustc --print sysroot` names it.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates g++ gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
COPY . /usr/local
ENV CARGO_HOME=/usr/local/cargo
