#!/usr/bin/env bash
# build-images.sh REPOSITORY VERSION OUT
#
# Builds the images of this checkout for the machine's architecture, pushes them by digest without a tag, and writes a line for each
# to OUT: NAME REPOSITORY-NAME@sha256:DIGEST. One build compiles for all images. BuildKit attaches an SBOM and the provenance to each.
#
#   CACHE=REFERENCE   an image that keeps layers, such as REPOSITORY-cache:amd64: unchanged sources are not compiled again. Compiled
#                     dependencies are in no layer (docs/decisions/0098-hosted-builders-compile-everything.md).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

if [[ $# -ne 3 ]]; then
  echo "usage: $0 REPOSITORY VERSION OUT" >&2
  exit 2
fi
# image names have no capital letters
repository=${1,,} version=$2 out=$3
need docker git python3
root=$(git -C "$here" rev-parse --show-toplevel)
revision=$(git -C "$root" rev-parse HEAD)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=() keep=()
if [[ -n ${CACHE:-} ]]; then
  cache=(--cache-from "type=registry,ref=$CACHE")
  # the first image needs the long build; the others reuse its layers
  keep=(--cache-to "type=registry,ref=$CACHE,mode=max")
fi

: >"$out"
for name in "${IMAGES[@]}"; do
  say "building $name"
  docker buildx build --file "$root/ops/Dockerfile" --target "$name" ${cache[@]+"${cache[@]}"} ${keep[@]+"${keep[@]}"} \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE=${SOURCE:-}" \
    --sbom=true --provenance=mode=max --metadata-file "$work/$name.json" \
    --output "type=image,name=$repository-$name,push-by-digest=true,name-canonical=true,push=true" "$root"
  digest=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["containerimage.digest"])' "$work/$name.json")
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "no digest of $name"
  printf '%s %s-%s@%s\n' "$name" "$repository" "$name" "$digest" >>"$out"
  keep=()
done
say "$(wc -l <"$out") images are pushed"
