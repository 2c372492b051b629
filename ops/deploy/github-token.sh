#!/usr/bin/env bash
# github-token.sh AUDIENCE
#
# Prints a new identity token of this GitHub job in kubectl's format for credential plugins. The job needs
# `permissions: id-token: write`.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ $# -ne 1 ]]; then
  echo "usage: $0 AUDIENCE" >&2
  exit 2
fi
need curl python3
[[ -n ${ACTIONS_ID_TOKEN_REQUEST_URL:-} && -n ${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-} ]] ||
  fail "no identity tokens here: the job lacks \`id-token: write\`"
# The request token goes through standard input, because other users can read the command line.
printf 'header = "authorization: Bearer %s"\n' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" |
  curl --silent --show-error --fail --max-time 30 --retry 3 --config - --get \
    --data-urlencode "audience=$1" "$ACTIONS_ID_TOKEN_REQUEST_URL" |
  python3 -c '
import base64, datetime, json, sys
token = json.load(sys.stdin)["value"]
claims = token.split(".")[1]
claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
# a little early, so that no request starts with a token that expires on the way
until = datetime.datetime.fromtimestamp(claims["exp"] - 30, datetime.timezone.utc)
status = {"token": token, "expirationTimestamp": until.strftime("%Y-%m-%dT%H:%M:%SZ")}
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))'
