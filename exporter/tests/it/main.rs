//! Tests of the exporter through its public interface. One binary, because each binary links polars.

mod demo;
mod docs;
mod formats;
mod jobs;
mod memory;
mod outages;
mod own_process;
mod support;
