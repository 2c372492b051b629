#!/usr/bin/env bash
# compose-smoke.sh
#
# Tests compose.yaml with the demo: it starts, a user signs in through the published port and gets a file, no other port is open,
# exporters scale up and down, and everything is removed. It uses a separate project and new secrets, so it can run beside another.
#
#   SLUICE_PORT       the port to open on loopback (18080)
#   COMPOSE           the Compose command (docker compose)
#   BUILD             --no-build to use existing images (--build)
#   START_WITHIN_S    the longest wait for a healthy start, seconds (300)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

need docker curl python3
root=$(cd "$here/../.." && pwd)
cd "$root"
read -ra compose <<<"${COMPOSE:-docker compose}"
work=$(mktemp -d)
export SLUICE_SECRETS=$work/secrets SLUICE_DEMO=1 SLUICE_PORT=${SLUICE_PORT:-18080} COMPOSE_PROJECT_NAME=sluice-smoke-$$
url=http://127.0.0.1:$SLUICE_PORT

ended() {
  local status=$?
  if [[ $status != 0 ]]; then
    "${compose[@]}" ps --all >&2 || true
    "${compose[@]}" logs --tail 50 >&2 || true
  fi
  "${compose[@]}" down --volumes --remove-orphans --timeout 60 || true
  rm -rf "$work"
  exit "$status"
}
trap ended EXIT

# Nothing may start without secrets, so `.env` of this checkout is ignored.
if env -u SLUICE_SECRETS "${compose[@]}" --env-file /dev/null config --quiet 2>/dev/null; then
  fail "compose.yaml is read without secrets"
fi
# init-secrets also writes .env, which this run restores.
if [[ -f .env ]]; then cp -p .env "$work/env"; fi
ops/compose/init-secrets "$SLUICE_SECRETS"
if [[ -f $work/env ]]; then mv "$work/env" .env; else rm -f .env; fi

"${compose[@]}" up "${BUILD:---build}" --detach --wait --wait-timeout "${START_WITHIN_S:-300}"
say "everything is healthy"

curl --silent --show-error --fail --max-time 30 --header 'content-type: application/json' --header "origin: $url" \
  --data '{"person": "alice"}' "$url/local/sign-in" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["token"], end="")' >"$work/token"
# The flights of the demo have three million rows.
export SMOKE_DATASET=flights
"$here/smoke.sh" "$url" "$work/token"

# One container publishes one port, and no other network reaches the containers.
"${compose[@]}" ps --format json | python3 -c '
import json, sys
open_ports = {(row["Service"], port["PublishedPort"]) for row in map(json.loads, sys.stdin)
              for port in row.get("Publishers") or [] if port["PublishedPort"]}
services = {service for service, _ in open_ports}
assert services == {"edge"} and len(open_ports) == 1, f"open: {sorted(open_ports)}"'
say "only the door is open"

"${compose[@]}" up --detach --wait --wait-timeout "${START_WITHIN_S:-300}" --no-recreate \
  --scale exporter=3 --scale gateway=2 --scale notifier=2
"$here/smoke.sh" "$url" "$work/token"
say "three exporters, two gateways and two notifiers do it too"
