#!/usr/bin/env bash
# issuer-token.sh
#
# Prints a new token of the issuer for the smoke test, by client credentials (RFC 6749, section 4.4). A stored token would expire in
# the middle of a rollout.
#
#   SMOKE_TOKEN_URL      the issuer's token endpoint
#   SMOKE_CLIENT_ID, SMOKE_CLIENT_SECRET   a client that may export; its tokens carry the tenant claim
#   SMOKE_SCOPE          the requested scope (export:*)
#   SMOKE_AUDIENCE       the requested audience, if the issuer needs one
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need curl python3
for name in SMOKE_TOKEN_URL SMOKE_CLIENT_ID SMOKE_CLIENT_SECRET; do
  [[ -n ${!name:-} ]] || fail "$name is empty"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# not on the command line, which other users can read
(umask 077 && printf %s "$SMOKE_CLIENT_SECRET" >"$work/secret")
audience=()
if [[ -n ${SMOKE_AUDIENCE:-} ]]; then audience=(--data-urlencode "audience=$SMOKE_AUDIENCE"); fi
curl --silent --show-error --fail --max-time 30 --retry 2 --output "$work/body" --data grant_type=client_credentials \
  --data-urlencode "client_id=$SMOKE_CLIENT_ID" --data-urlencode "client_secret@$work/secret" \
  --data-urlencode "scope=${SMOKE_SCOPE:-export:*}" ${audience[@]+"${audience[@]}"} "$SMOKE_TOKEN_URL" ||
  fail "the issuer gives no token"
python3 -c 'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))["access_token"], end="")' "$work/body" ||
  fail "the issuer's answer has no access_token"
