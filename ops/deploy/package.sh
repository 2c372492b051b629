#!/usr/bin/env bash
# package.sh SLUICE VERSION ARCHITECTURE OUT-FOLDER
#
# Packs a release for machines without containers: the program SLUICE, the built page (web/app/dist), the example settings, and the
# backup scripts. The same files give the same archive, byte for byte.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

if [[ $# -ne 4 ]]; then
  echo "usage: $0 SLUICE VERSION ARCHITECTURE OUT-FOLDER" >&2
  exit 2
fi
program=$1 version=$2 architecture=$3 out=$4
need tar gzip git
root=$(git -C "$here" rev-parse --show-toplevel)
[[ -x $program ]] || fail "$program is no program"
[[ -f $root/web/app/dist/index.html ]] || fail "the page isn't built: npm run build, in web/"
# Refuses a binary of another version.
said=$("$program" --version) || fail "$program doesn't run here"
[[ $said == "sluice $version" ]] || fail "$program says \`$said\` and should be $version"

name=sluice-$version-linux-$architecture
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install -D -m 755 "$program" "$work/$name/bin/sluice"
install -m 755 "$root/ops/backup" "$root/ops/restore" "$work/$name/bin/"
install -D -m 644 "$root/ops/sluice.toml" "$work/$name/etc/sluice.toml"
install -m 644 "$root/LICENSE" "$root/README.md" "$root/CHANGELOG.md" "$work/$name/"
mkdir -p "$work/$name/share/sluice" "$out"
cp -r "$root/web/app/dist" "$work/$name/share/sluice/web"
chmod -R u=rwX,go=rX "$work/$name"

archive=$out/$name.tar.gz
tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner \
  --mtime="@$(git -C "$root" log -1 --format=%ct)" "$name" | gzip --no-name --best >"$archive"
say "$archive has $(stat -c %s "$archive") bytes"
