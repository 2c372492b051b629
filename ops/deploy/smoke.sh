#!/usr/bin/env bash
# smoke.sh [--token-only] URL [TOKEN-FILE]
#
# Whether a Sluice that was just started does its work, seen from where people are. Without a token: it lives, it is ready, it
# shows its contract, and it lets nobody in. With a token of somebody who may export: an export from click to file, whose
# bytes are those that were sealed. Takes one credit of that person. With --token-only: whether what runs at URL takes the
# token, and nothing else.
#
# It ends with 0 when all of it was seen, and with 1 when the platform does not do its work. 3 says that nothing wrong was seen,
# but not all could be: the token has ended, its owner has no credits or too many exports, or the file takes longer. That
# is nothing to take a release back for.
#
#   SMOKE_DATASET   what to export (menu_category_counts, else the smallest that is on offer)
#   SMOKE_REQUEST   the whole body of POST /v1/exports instead, JSON, such as one with a filter
#   SMOKE_WITHIN_S  how long to wait for readiness, and for the file (120)
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

# Nothing wrong was seen, and no more could be.
undecided() {
  say "undecided: $*"
  exit 3
}

# Whether the token's own `exp` is over. One that is refused before that is refused by a fault.
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

# expect STATUS… as one word, then what curl needs; the URL is last.
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
  # Not on the command line, where everybody on the machine could read it.
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
# Nothing of the inside is served here.
got=$(request "$url/metrics")
[[ $got != 200 ]] || ! grep -q '^# TYPE' "$work/body" || fail "metrics are open to everybody"
say "nobody gets in without a token"

if [[ -z $token_file ]]; then
  say "done; without a token nothing was exported"
  exit 0
fi

# What is asked for: the smallest that there is, as a rollout is no time for the largest.
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
# 200: an identical one is under way, and is joined.
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

# 20 s in which hardly a byte comes are a fault; a file that comes slowly is none.
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
