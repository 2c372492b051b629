#!/usr/bin/env bash
# smoke.sh [--token-only] URL [TOKEN-FILE]
#
# Tests a running Sluice from outside. Without a token: liveness, readiness, the contract documents, and that requests without a token
# are refused. With a token of a user who may export: an export from the request to the file, whose bytes match the seal. It costs
# that user one credit. With --token-only: only whether URL accepts the token.
#
# Exit codes: 0 every check passed; 1 the platform fails; 3 no fault was found and not every check could run: the token expired, its
# owner has no credits or too many exports, or the file takes longer. Code 3 is no reason for a rollback.
#
#   SMOKE_DATASET   the dataset to export (menu_category_counts, else the smallest one)
#   SMOKE_REQUEST   the whole body of POST /v1/exports instead, as JSON, such as one with a filter
#   SMOKE_WITHIN_S  the longest wait for readiness, and for the file, seconds (120)
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

token_only=
if [[ ${1:-} == --token-only ]]; then
  token_only=1
  shift
fi
if [[ $# -lt 1 || $# -gt 2 || (-n $token_only && $# -ne 2) ]]; then
  echo "usage: $0 [--token-only] URL [TOKEN-FILE]" >&2
  exit 2
fi
need curl python3 sha256sum
url=${1%/}
token_file=${2:-}
within=${SMOKE_WITHIN_S:-120}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints the status of a request, and writes its body to $work/body and its headers to $work/headers.
request() {
  curl --silent --show-error --max-time 30 --output "$work/body" --dump-header "$work/headers" \
    --write-out '%{http_code}' "$@"
}

# Prints a member of the JSON document in $work/body; dots separate nested members.
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

# Ends without a fault when no further check can run.
undecided() {
  say "undecided: $*"
  exit 3
}

# Whether the token expired by its `exp`. A token that is refused earlier is a fault.
token_has_ended() {
  python3 -c '
import base64, json, sys, time
try:
    claims = open(sys.argv[1], encoding="utf-8").read().strip().split(".")[1]
    ends = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
except (IndexError, KeyError, ValueError):
    sys.exit(1)
sys.exit(0 if ends <= time.time() + 5 else 1)' "$token_file"
}

# expect "STATUS…" CURL-ARGUMENTS… URL
expect() {
  local wanted=$1 got
  shift
  got=$(request "$@") || fail "no answer from ${*: -1}"
  status_got=$got
  if [[ " $wanted " != *" $got "* ]]; then
    if [[ $got == 401 && -n $token_file ]] && token_has_ended; then
      undecided "the token has ended"
    fi
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

if [[ -n $token_file ]]; then
  # not on the command line, which other users can read
  (umask 077 && printf 'header = "authorization: Bearer %s"\n' "$(<"$token_file")" >"$work/auth")
  signed=(--config "$work/auth")
fi

if [[ -n $token_only ]]; then
  got=$(request "${signed[@]}" "$url/v1/credits") || got=none
  case $got in
    200) say "the token is good" ;;
    401 | 403) fail "the token is refused: status $got" ;;
    *) say "whether the token is good can't be asked yet: status $got" ;;
  esac
  exit 0
fi

until_ready
say "ready"
expect 200 "$url/healthz"
expect 200 "$url/v1/openapi.json"
[[ $(member info.title) ]] || fail "the contract has no title"
expect 401 "$url/v1/exports"
grep -qi '^www-authenticate:' "$work/headers" || fail "a 401 without WWW-Authenticate"
expect 401 --request POST --header 'content-type: application/json' --data '{}' "$url/v1/exports"
expect 401 --header 'authorization: Bearer none' "$url/v1/datasets"
# Internal endpoints must not answer on the public port.
got=$(request "$url/metrics")
[[ $got != 200 ]] || ! grep -q '^# TYPE' "$work/body" || fail "metrics are public"
say "nobody gets in without a token"

if [[ -z $token_file ]]; then
  say "done; without a token nothing was exported"
  exit 0
fi

# Chooses the smallest dataset, to keep the rollout short.
body=${SMOKE_REQUEST:-}
if [[ -z $body ]]; then
  expect 200 "${signed[@]}" "$url/v1/datasets"
  body=$(python3 -c '
import json, sys
items = json.load(open(sys.argv[1], encoding="utf-8"))["items"]
rows = {item["name"]: item.get("rows_estimate") for item in items}
small = "menu_category_counts"
name = sys.argv[2] or (small if small in rows else min(rows, key=lambda name: (rows[name] is None, rows[name] or 0), default=""))
request = {"dataset": name} | ({"params": {"muscles": ["muscle1"]}} if name == small else {})
print(json.dumps(request) if name else "")' "$work/body" "${SMOKE_DATASET:-}")
  [[ -n $body ]] || fail "no dataset is on offer to this person"
fi
key="smoke-$(date +%s)-$$-$RANDOM"
# 200: the request joined an identical running export.
expect "202 200 429" "${signed[@]}" --request POST --header 'content-type: application/json' \
  --header "idempotency-key: $key" --data "$body" "$url/v1/exports"
if [[ $status_got == 429 ]]; then
  slug=$(member type)
  undecided "the person of the token may not export now: ${slug##*/}"
fi
id=$(member id)
[[ -n $id ]] || fail "an export without an id"
say "export $id is accepted: $body"

deadline=$((SECONDS + within))
while true; do
  expect 200 "${signed[@]}" "$url/v1/exports/$id"
  status=$(member status)
  case $status in
    completed) break ;;
    failed | canceled | expired) fail "the export is $status: $(head -c 2000 "$work/body")" ;;
  esac
  if ((SECONDS >= deadline)); then
    [[ $status != running ]] || undecided "the export still runs after $within s"
    fail "the export is still $status after $within s"
  fi
  sleep 0.5
done
sealed=$(member file.sha256)
bytes=$(member file.size)
[[ -n $sealed && -n $bytes ]] || fail "a completed export without a digest: $(head -c 2000 "$work/body")"

# Less than a byte a second over 20 s is a fault; a slow file is none.
begun=$SECONDS
code=0
got=$(curl --silent --show-error --max-time "$((within + 20))" --speed-limit 1 --speed-time 20 "${signed[@]}" \
  --output "$work/file" --write-out '%{http_code}' "$url/v1/exports/$id/file") || code=$?
if [[ $code == 28 ]] && ((SECONDS - begun >= within + 20)); then
  undecided "the file still comes after $((within + 20)) s"
fi
[[ $code == 0 ]] || fail "the file did not arrive whole"
if [[ $got == 401 ]] && token_has_ended; then undecided "the token has ended"; fi
[[ $got == 200 ]] || fail "status $got for the file"
[[ $(stat -c %s "$work/file") == "$bytes" ]] || fail "the file has $(stat -c %s "$work/file") bytes instead of $bytes"
[[ $(sha256sum "$work/file" | cut -d' ' -f1) == "$sealed" ]] || fail "the file isn't the one that was sealed"
say "the file has its $bytes bytes, and its digest is the sealed one"
