#!/usr/bin/env bash
# rollback.sh NAMESPACE [SERVICE=REVISION…]
#
# Rolls back to the previous release, or to the named revisions (`kubectl rollout history deployment/gateway` lists them), with their
# settings. After a rollback, such as deploy.sh's, the previous release is the bad one: then it prints the revisions and needs one
# for each service. NATS, policies, autoscalers, CronJobs and tables stay. A service without an earlier revision stays.
#
#   DEPLOY_WITHIN_S   the longest wait for a service to be ready, seconds (900)
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ $# -lt 1 ]]; then
  echo "usage: $0 NAMESPACE [SERVICE=REVISION...]" >&2
  exit 2
fi
need kubectl
namespace=$1
shift
within=${DEPLOY_WITHIN_S:-900}

# The running revision of a service.
revision() {
  kubectl --namespace "$namespace" get deployment "$1" \
    --output 'jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}'
}

# Whether the running revision reuses an earlier one: then the newest change was a rollback.
went_back() {
  local now line
  now=$(revision "$1")
  while read -r line; do
    # the revision, and earlier revisions of the same pods
    [[ $line == "$now "?* ]] && return 0
  done < <(kubectl --namespace "$namespace" get replicasets --selector "app.kubernetes.io/name=$1" --output \
    'jsonpath={range .items[*]}{.metadata.annotations.deployment\.kubernetes\.io/revision} {.metadata.annotations.deployment\.kubernetes\.io/revision-history}{"\n"}{end}')
  return 1
}

if [[ $# -gt 0 ]]; then
  wanted=("$@")
else
  for name in "${DEPLOYMENTS[@]}"; do
    if went_back "$name"; then
      kubectl --namespace "$namespace" rollout history "deployment/$name" >&2
      fail "$name runs what it ran before already, so the release before it is the one that was left: name revisions, as SERVICE=REVISION"
    fi
  done
  wanted=("${DEPLOYMENTS[@]/%/=0}") # 0: the previous revision
fi

failed=0
back=()
# The reverse order of a rollout: gateways first.
for ((i = ${#wanted[@]} - 1; i >= 0; i--)); do
  name=${wanted[i]%%=*} revision=${wanted[i]#*=}
  [[ -n $name && ${wanted[i]} == *=* && $revision =~ ^[0-9]*$ ]] || fail "${wanted[i]} isn't SERVICE=REVISION"
  if [[ -z $revision ]]; then
    say "$name was not there before; it stays"
    continue
  fi
  now=$(revision "$name")
  if [[ $now == "$revision" ]]; then
    say "$name did not change"
    continue
  fi
  if kubectl --namespace "$namespace" rollout undo "deployment/$name" --to-revision="$revision"; then
    back+=("$name")
  else
    failed=1
  fi
done
# Rolls back every service, even if another one fails.
for name in ${back[@]+"${back[@]}"}; do
  kubectl --namespace "$namespace" rollout status "deployment/$name" --timeout="${within}s" || failed=1
done
[[ $failed == 0 ]] || fail "not everything is back"
say "back: ${back[*]-nothing had changed}"
