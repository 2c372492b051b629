#!/usr/bin/env bash
# smoke.sh URL [TOKEN-FILE]
#
# Whether a Sluice that was just started does its work, seen from where people are. Without a token: it lives, it is ready, it
# shows its contract, and it lets nobody in. With a token of somebody who may export: an export from click to file, whose
# bytes are those that were sealed. Takes one credit of that person.
#
#   SMOKE_DATASET   what to export (the first that is on offer)
#   SMOKE_WITHIN_S  how long to wait for readiness, and for the file (120)
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ $# -lt 1 || $# -gt 2 ]]; then
  echo "usage: $0 URL [TOKEN-FILE]" >&2
  exit 2
fi
need curl python3 sha256sum
url=${1%/}
token_file=${2:-}
within=${SMOKE_WITHIN_S:-120}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The status of a request; its body is in $work/body and its headers in $work/headers.
request() {
  curl --silent --show-error --max-time 30 --output "$work/body" --dump-header "$work/headers" \
    --write-out '%{http_code}' "$@"
}

# A member of the JSON document in $work/body; members of members after dots.
member() {
  python3 -c '
import json, sys
value = json.load(open(sys.argv[1], encoding="utf-8"))
for name in sys.argv[2].split("."):
    value = value[int(name)] if isinstance(value, list) else value.get(name)
    if value is None:
        break
print("" if value is None else value)' "$work/body" "$1"
}

# expect STATUS… as one word, then what curl needs; the URL is last.
expect() {
  local wanted=$1 got
  shift
  got=$(request "$@") || fail "no answer from ${*: -1}"
  if [[ " $wanted " != *" $got "* ]]; then
    head -c 2000 "$work/body" >&2 || true
    fail "status $got instead of $wanted: ${*: -1}"
  fi
}

until_ready() {
  local deadline=$((SECONDS + within)) got
  while true; do
    got=$(request "$url/readyz") || got=none
    [[ $got == 200 ]] && return
    if ((SECONDS >= deadline)); then
      head -c 2000 "$work/body" >&2 || true
      fail "not ready within $within s: status $got"
    fi
    sleep 1
  done
}

until_ready
say "ready"
expect 200 "$url/healthz"
expect 200 "$url/v1/openapi.json"
[[ $(member info.title) ]] || fail "the contract has no title"
expect 401 "$url/v1/exports"
grep -qi '^www-authenticate:' "$work/headers" || fail "a 401 without WWW-Authenticate"
expect 401 --request POST --header 'content-type: application/json' --data '{}' "$url/v1/exports"
expect 401 --header 'authorization: Bearer none' "$url/v1/datasets"
# Nothing of the inside is served here.
got=$(request "$url/metrics")
[[ $got != 200 ]] || ! grep -q '^# TYPE' "$work/body" || fail "metrics are open to everybody"
say "nobody gets in without a token"

if [[ -z $token_file ]]; then
  say "done; without a token nothing was exported"
  exit 0
fi

# Not on the command line, where everybody on the machine could read it.
printf 'header = "authorization: Bearer %s"\n' "$(<"$token_file")" >"$work/auth"
chmod 600 "$work/auth"
signed=(--config "$work/auth")

dataset=${SMOKE_DATASET:-}
if [[ -z $dataset ]]; then
  expect 200 "${signed[@]}" "$url/v1/datasets"
  dataset=$(member items.0.name)
  [[ -n $dataset ]] || fail "no dataset is on offer to this person"
fi
key="smoke-$(date +%s)-$$-$RANDOM"
# 200: an identical one is under way, and is joined.
expect "202 200" "${signed[@]}" --request POST --header 'content-type: application/json' \
  --header "idempotency-key: $key" --data "{\"dataset\": \"$dataset\"}" "$url/v1/exports"
id=$(member id)
[[ -n $id ]] || fail "an export without an id"
say "export $id of $dataset is accepted"

deadline=$((SECONDS + within))
while true; do
  expect 200 "${signed[@]}" "$url/v1/exports/$id"
  status=$(member status)
  case $status in
    completed) break ;;
    failed | canceled | expired) fail "the export is $status: $(head -c 2000 "$work/body")" ;;
  esac
  ((SECONDS < deadline)) || fail "the export is still $status after $within s"
  sleep 0.5
done
sealed=$(member file.sha256)
bytes=$(member file.size)
[[ -n $sealed && -n $bytes ]] || fail "a completed export without a digest: $(head -c 2000 "$work/body")"

got=$(curl --silent --show-error --max-time "$within" "${signed[@]}" --output "$work/file" --write-out '%{http_code}' \
  "$url/v1/exports/$id/file") || fail "the file did not arrive whole"
[[ $got == 200 ]] || fail "status $got for the file"
[[ $(stat -c %s "$work/file") == "$bytes" ]] || fail "the file has $(stat -c %s "$work/file") bytes instead of $bytes"
[[ $(sha256sum "$work/file" | cut -d' ' -f1) == "$sealed" ]] || fail "the file isn't the one that was sealed"
say "the file has its $bytes bytes, and its digest is the sealed one"
