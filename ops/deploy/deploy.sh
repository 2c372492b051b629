#!/usr/bin/env bash
# deploy.sh OVERLAY IMAGES [URL [TOKEN-FILE]]
#
# Rolls images out to the cluster that kubectl is signed in to: first the migration, then the services, pod by pod. If a service does
# not become ready, or the smoke test of URL fails, it rolls back to the earlier revisions. Tables stay, because migrations only add
# and the earlier release runs on them. A refused token ends it before anything changes. A smoke test that could not finish
# (smoke.sh) is reported and rolls nothing back.
#
#   OVERLAY   a folder of kustomize, such as ops/kubernetes/overlays/production
#   IMAGES    a file with a line for each of gateway, exporter, notifier and sluice: NAME REPOSITORY@sha256:DIGEST
#
#   DEPLOY_WITHIN_S   the longest wait for a service to be ready, seconds (900)
#   MIGRATE_WITHIN_S  the longest wait for the migration, seconds (1200)
#   COMMIT            the commit of the images; one that is older than the running commit is refused
#   SMOKE_TOKEN_URL   the issuer's token endpoint for the smoke test, instead of TOKEN-FILE (issuer-token.sh)
#   SMOKE_…           options of the smoke test (smoke.sh)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

if [[ $# -lt 2 || $# -gt 4 ]]; then
  echo "usage: $0 OVERLAY IMAGES [URL [TOKEN-FILE]]" >&2
  exit 2
fi
overlay=$1 images=$2 url=${3:-} token_file=${4:-}
need kubectl realpath
[[ -f $overlay/kustomization.yaml ]] || fail "$overlay is no overlay"
[[ -f $images ]] || fail "there is no file $images"
within=${DEPLOY_WITHIN_S:-900}
migrate_within=${MIGRATE_WITHIN_S:-1200}
commit=${COMMIT:-}
[[ $commit =~ ^([0-9a-f]{40})?$ ]] || fail "COMMIT is no commit: $commit"

# kustomize accepts relative paths only, so the folder of the rollout is beside the overlays.
work=$(mktemp -d "$here/.rollout.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The overlay with these images, all by digest, because a tag can move.
render() {
  local name reference repository digest
  {
    echo "apiVersion: kustomize.config.k8s.io/v1beta1"
    echo "kind: Kustomization"
    echo "resources: [$(realpath --relative-to="$work" "$overlay")]"
    echo "images:"
    for name in "${IMAGES[@]}"; do
      reference=$(awk -v name="$name" '$1 == name { print $2 }' "$images")
      repository=${reference%@*} digest=${reference#*@}
      [[ $reference == *@* && $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "$images has no digest for $name"
      printf '  - {name: sluice/%s, newName: "%s", digest: "%s"}\n' "$name" "$repository" "$digest"
    done
    # in the pod template, so that a rollback restores it
    if [[ -n $commit ]]; then
      echo "patches:"
      echo "  - target: {kind: Deployment}"
      echo "    patch: |-"
      echo "      {apiVersion: apps/v1, kind: Deployment, metadata: {name: any},"
      echo "      spec: {template: {metadata: {annotations: {sluice.dev/commit: \"$commit\"}}}}}"
    fi
  } >"$work/kustomization.yaml"
  kubectl kustomize "$work" >"$work/all.yaml"
  if grep -E '^ *image: .*sluice' "$work/all.yaml" | grep -qv '@sha256:'; then
    fail "an image of Sluice is left without a digest"
  fi
  namespace=$(awk '/^  namespace: / { print $2; exit }' "$work/all.yaml")
  [[ -n $namespace ]] || fail "$overlay names no namespace"
}

# The running revision of a service, for a rollback; empty for a new service.
revision() {
  kubectl --namespace "$namespace" get deployment "$1" --ignore-not-found \
    --output 'jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}'
}

# A commit that waited for approval while a newer one was rolled out would be a downgrade.
no_newer_runs() {
  local running
  [[ -n $commit ]] || return 0
  need git
  running=$(kubectl --namespace "$namespace" get deployment gateway --ignore-not-found \
    --output 'jsonpath={.spec.template.metadata.annotations.sluice\.dev/commit}')
  [[ -n $running && $running != "$commit" ]] || return 0
  if ! git -C "$here" cat-file -e "$running^{commit}" 2>/dev/null; then
    say "the commit that runs, $running, is not in this history; going on"
  elif git -C "$here" merge-base --is-ancestor "$commit" "$running"; then
    fail "a newer commit runs already, $running; nothing was changed (to go back on purpose: rollback.sh)"
  fi
}

# The issuer's tokens are valid for minutes, so each use requests a new one.
fresh_token() {
  [[ -n ${SMOKE_TOKEN_URL:-} ]] || return 0
  (umask 077 && "$here/issuer-token.sh" >"$work/token") || return 1
  token_file=$work/token
}

warn() {
  say "warning: $*"
  if [[ -n ${GITHUB_ACTIONS:-} ]]; then echo "::warning title=rollout::$*"; fi
}

# A job can't be changed, so the last rollout's job is deleted. The script waits for success or failure.
migrate() {
  local deadline=$((SECONDS + migrate_within)) ended
  kubectl --namespace "$namespace" delete job migrate --ignore-not-found --wait --timeout=120s
  kubectl apply --filename "$work/all.yaml" --selector sluice.dev/phase=migrate
  while true; do
    ended=$(kubectl --namespace "$namespace" get job migrate \
      --output 'jsonpath={.status.conditions[?(@.status=="True")].type}')
    case " $ended " in
      *" Complete "*) break ;;
      *" Failed "*)
        kubectl --namespace "$namespace" logs job/migrate --tail=50 >&2 || true
        fail "the migration failed; nothing else was changed"
        ;;
    esac
    if ((SECONDS >= deadline)); then
      fail "the migration did not end within $migrate_within s; nothing else was changed"
    fi
    sleep 2
  done
  say "the tables are up to date"
}

roll_out() {
  local name
  kubectl apply --filename "$work/all.yaml" --selector 'sluice.dev/phase!=migrate' || return 1
  for name in "${DEPLOYMENTS[@]}"; do
    kubectl --namespace "$namespace" rollout status "deployment/$name" --timeout="${within}s" || return 1
    say "$name is rolled out"
  done
  if [[ -n $url ]]; then
    smoke || return 1
  fi
}

smoke() {
  local code=0
  if ! fresh_token; then
    warn "the issuer gives no token any more: the export was not tried"
    token_file=
  fi
  "$here/smoke.sh" "$url" ${token_file:+"$token_file"} || code=$?
  case $code in
    0) ;;
    3) warn "the smoke test could not be ended, and saw nothing wrong until then: see the log" ;;
    *) return 1 ;;
  esac
}

render
no_newer_runs
if [[ -n $url ]]; then
  fresh_token || fail "the issuer gives no token for the smoke test; nothing was changed"
  if [[ -n $token_file ]]; then
    "$here/smoke.sh" --token-only "$url" "$token_file" || fail "the smoke test would fail for its token; nothing was changed"
  fi
fi
before=()
for name in "${DEPLOYMENTS[@]}"; do
  before+=("$name=$(revision "$name")")
done
say "before: ${before[*]}"
migrate
if ! roll_out; then
  say "the rollout failed; going back"
  DEPLOY_WITHIN_S=$within "$here/rollback.sh" "$namespace" "${before[@]}" || fail "and going back failed too: look at it now"
  fail "rolled back; what ran before runs again"
fi
say "deployed"
