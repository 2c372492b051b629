#!/usr/bin/env bash
# github-kubeconfig.sh FILE
#
# Writes a kubeconfig with which a GitHub job signs in to a cluster that trusts GitHub's identity tokens (ops/kubernetes/README.md),
# so no password of the cluster is stored. kubectl requests a new token whenever it needs one.
#
#   KUBE_SERVER     the address of the cluster's API, https://…
#   KUBE_CA         its certificate authority, PEM in base64
#   KUBE_AUDIENCE   the audience that the cluster expects in tokens
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

if [[ $# -ne 1 ]]; then
  echo "usage: $0 FILE" >&2
  exit 2
fi
for name in KUBE_SERVER KUBE_CA KUBE_AUDIENCE; do
  [[ -n ${!name:-} ]] || fail "$name is empty: set it in the environment of the deployment"
done
[[ $KUBE_SERVER == https://* ]] || fail "KUBE_SERVER isn't an https:// address"
umask 077
cat >"$1" <<END
apiVersion: v1
kind: Config
current-context: deploy
clusters:
  - name: deploy
    cluster: {server: "$KUBE_SERVER", certificate-authority-data: "$KUBE_CA"}
contexts:
  - name: deploy
    context: {cluster: deploy, user: github}
users:
  - name: github
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: "$here/github-token.sh"
        args: ["$KUBE_AUDIENCE"]
        interactiveMode: Never
END
