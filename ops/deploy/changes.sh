#!/usr/bin/env bash
# changes.sh VERSION
#
# Prints the section of a release in CHANGELOG.md, and fails without one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

if [[ $# -ne 1 ]]; then
  echo "usage: $0 VERSION" >&2
  exit 2
fi
text=$(awk -v version="$1" '
  /^## / { inside = ($2 == version || $2 == "[" version "]"); next }
  inside { print }' "$here/../../CHANGELOG.md")
[[ -n ${text//[[:space:]]/} ]] || fail "CHANGELOG.md has nothing under \`## $1\`"
printf '%s\n' "$text"
