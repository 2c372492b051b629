# Shared functions of the scripts in this folder, which need bash 4 or newer, kubectl and curl.
# shellcheck shell=bash

# The deployments in rollout order: exporters advertise datasets before gateways accept exports of them.
# shellcheck disable=SC2034  # read by those who source this
DEPLOYMENTS=(notifier exporter gateway)

# The images of a release, each a target of ops/Dockerfile.
# shellcheck disable=SC2034
IMAGES=(gateway exporter notifier sluice)

say() {
  printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*" >&2
}

fail() {
  say "failed: $*"
  exit 1
}

need() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || fail "$program is missing: install it, or put it on the PATH"
  done
}
