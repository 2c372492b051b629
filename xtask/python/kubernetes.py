"""Checks rendered Kubernetes objects against the schemas of Kubernetes and Sluice's rules.

    kubernetes.py RENDERED.yaml SCHEMAS

RENDERED.yaml is what `kubectl kustomize` printed; SCHEMAS is the folder with a schema for each kind of the custom resources
that Kubernetes itself knows nothing of. A kind that is in neither is a finding: nothing goes unchecked.
"""

import ipaddress
import json
import pathlib
import sys
import tomllib

import jsonschema
import kubernetes_validate
import yaml

# The oldest supported release, and the newest one with schemas.
VERSIONS = ("1.30", "1.37")

# Objects that an administrator creates (ops/kubernetes/README.md), which are not in git.
OUTSIDE_SECRETS = {
    "sluice-gateway", "sluice-exporter", "sluice-notifier", "sluice-migrate", "sluice-backup", "sluice-operator",
    "sluice-restore", "sluice-restore-identity", "sluice-registry", "sluice-tls", "sluice-nats",
}


def main(rendered, schemas):
    with open(rendered, encoding="utf-8") as file:
        objects = [o for o in yaml.safe_load_all(file) if o]
    findings = check(objects, load_schemas(schemas))
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"{rendered}: {len(objects)} objects, {len(findings)} findings")
    return 1 if findings else 0


def load_schemas(folder):
    """Schemas of custom resources by (apiVersion, kind), from `x-kubernetes` in each."""
    schemas = {}
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        named = schema["x-kubernetes"]
        schemas[(named["apiVersion"], named["kind"])] = schema
    return schemas


def check(objects, schemas):
    """All findings in these objects, as lines of text."""
    findings = []
    if not objects:
        return ["nothing was rendered"]
    for o in objects:
        findings += [f"{name(o)}: {problem}" for problem in against_schema(o, schemas)]
    return findings + against_rules(objects)


def against_rules(objects):
    rules = (unique, pods, services, references, targets, network, both_sides, exposed, no_secrets, catalogs, clocks, rights)
    return [finding for rule in rules for finding in rule(objects)]


def name(o):
    return f"{o.get('kind')}/{o.get('metadata', {}).get('name')}"


def kinds(objects, *wanted):
    return [o for o in objects if o.get("kind") in wanted]


def against_schema(o, schemas):
    schema = schemas.get((o.get("apiVersion"), o.get("kind")))
    if schema is not None:
        errors = jsonschema.Draft202012Validator(schema).iter_errors(o)
        return [f"{e.json_path}: {e.message}" for e in errors]
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(o, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError as error:
            return [error.message]
        except kubernetes_validate.ValidationError as error:
            return [f"{error.json_path}: {error.message} (Kubernetes {version})"]
    return []


def unique(objects):
    seen, findings = set(), []
    for o in objects:
        key = (o.get("apiVersion"), o.get("kind"), o["metadata"].get("namespace"), o["metadata"].get("name"))
        if key in seen:
            findings.append(f"{name(o)}: stands twice")
        seen.add(key)
    return findings


def templates(objects):
    """(object, template of its pods) of everything that starts pods."""
    for o in objects:
        if o["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield o, o["spec"]["template"]
        elif o["kind"] == "CronJob":
            yield o, o["spec"]["jobTemplate"]["spec"]["template"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def pods(objects):
    """Every pod runs without rights and declares its resources."""
    findings = []
    for o, template in templates(objects):
        spec = template["spec"]
        say = lambda what: findings.append(f"{name(o)}: {what}")  # noqa: E731
        security = spec.get("securityContext", {})
        if not security.get("runAsNonRoot"):
            say("securityContext.runAsNonRoot isn't set")
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            say("seccompProfile isn't RuntimeDefault")
        if spec.get("automountServiceAccountToken") is not False:
            say("a token of the service account is mounted")
        if "serviceAccountName" not in spec:
            say("it has no service account of its own")
        for c in containers(spec):
            own = c.get("securityContext", {})
            for key, wanted in (("readOnlyRootFilesystem", True), ("allowPrivilegeEscalation", False)):
                if own.get(key) is not wanted:
                    say(f"{c['name']}: {key} isn't {wanted}")
            if own.get("capabilities", {}).get("drop") != ["ALL"]:
                say(f"{c['name']}: capabilities aren't dropped")
            resources = c.get("resources", {})
            if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
                say(f"{c['name']}: no requests of cpu and memory, or no limit of memory")
            image = c["image"]
            if "@sha256:" not in image and (":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")):
                say(f"{c['name']}: the image {image} isn't pinned")
            for variable in c.get("env", []):
                secret = variable.get("valueFrom", {}).get("secretKeyRef")
                if secret:
                    say(f"{c['name']}: {variable['name']} puts a secret into the environment; mount it as a file")
            ports = {p.get("name") for p in c.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = c.get(probe, {}).get("httpGet", {}).get("port")
                if port is not None and port not in ports:
                    say(f"{c['name']}: {probe} asks port {port}, which has no such name")
                if o["kind"] == "Deployment" and probe not in c:
                    say(f"{c['name']}: no {probe}")
            claimed = o["spec"].get("volumeClaimTemplates", [])
            mounted = {v["name"] for v in spec.get("volumes", [])} | {v["metadata"]["name"] for v in claimed}
            for mount in c.get("volumeMounts", []):
                if mount["name"] not in mounted:
                    say(f"{c['name']}: no volume {mount['name']}")
    return findings


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def pod_labels(objects):
    return [(o, t["metadata"].get("labels", {}), t["spec"]) for o, t in templates(objects)]


def services(objects):
    """Every service selects a named port of some pods, and every selector matches pods."""
    findings = []
    every = pod_labels(objects)
    for service in kinds(objects, "Service"):
        found = [spec for _, labels, spec in every if selects(service["spec"]["selector"], labels)]
        if not found:
            findings.append(f"{name(service)}: selects no pod")
        for port in service["spec"]["ports"]:
            for spec in found:
                named = {p["name"] for c in spec["containers"] for p in c.get("ports", [])}
                if port.get("targetPort") not in named:
                    findings.append(f"{name(service)}: no port {port.get('targetPort')} in a pod that it selects")
    for o in kinds(objects, "Deployment", "PodDisruptionBudget", "PodMonitor"):
        selector = o["spec"]["selector"].get("matchLabels", {})
        # A monitor may select by expression.
        if selector and not any(selects(selector, labels) for _, labels, _ in every):
            findings.append(f"{name(o)}: selects no pod")
    return findings


def references(objects):
    """Everything that pods mount exists, or is a secret that an administrator creates."""
    findings = []
    there = {(o["kind"], o["metadata"]["name"]) for o in objects}
    for o, template in templates(objects):
        spec = template["spec"]
        wanted = [("ServiceAccount", spec.get("serviceAccountName"))]
        sources = list(spec.get("volumes", []))
        for volume in spec.get("volumes", []):
            sources += volume.get("projected", {}).get("sources", [])
        for source in sources:
            if "configMap" in source:
                wanted.append(("ConfigMap", source["configMap"]["name"]))
            secret = source.get("secret")
            if secret:
                wanted.append(("Secret", secret.get("secretName", secret.get("name"))))
            claim = source.get("persistentVolumeClaim")
            if claim:
                wanted.append(("PersistentVolumeClaim", claim["claimName"]))
        for c in containers(spec):
            for source in c.get("envFrom", []):
                if "configMapRef" in source:
                    wanted.append(("ConfigMap", source["configMapRef"]["name"]))
        for kind, wanted_name in wanted:
            outside = kind == "Secret" and wanted_name in OUTSIDE_SECRETS
            if (kind, wanted_name) not in there and not outside:
                findings.append(f"{name(o)}: there is no {kind}/{wanted_name}")
    return findings


def targets(objects):
    """Every autoscaler targets a deployment without `replicas`, and no deployment has two."""
    findings, scaled = [], {}
    deployments = {o["metadata"]["name"]: o for o in kinds(objects, "Deployment")}
    for o in kinds(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        target = o["spec"]["scaleTargetRef"]["name"]
        if target not in deployments:
            findings.append(f"{name(o)}: there is no Deployment/{target}")
        elif "replicas" in deployments[target]["spec"]:
            findings.append(f"{name(o)}: Deployment/{target} sets replicas, which every apply would set back")
        if target in scaled:
            findings.append(f"{name(o)}: {scaled[target]} scales Deployment/{target} already")
        scaled[target] = name(o)
    for o in deployments.values():
        if o["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            findings.append(f"{name(o)}: maxUnavailable isn't 0")
        labels = o["spec"]["template"]["metadata"]["labels"]
        budgets = kinds(objects, "PodDisruptionBudget")
        if not any(selects(b["spec"]["selector"]["matchLabels"], labels) for b in budgets):
            findings.append(f"{name(o)}: no PodDisruptionBudget")
    return findings


def network(objects):
    """Network policies deny by default, and every pod has a policy."""
    findings = []
    policies = kinds(objects, "NetworkPolicy")
    closed = [p for p in policies if not p["spec"]["podSelector"] and not p["spec"].get("ingress")
              and not p["spec"].get("egress") and set(p["spec"]["policyTypes"]) == {"Ingress", "Egress"}]
    if not closed and pod_labels(objects):
        findings.append("no NetworkPolicy closes everything by default")
    for o, labels, _ in pod_labels(objects):
        own = [p for p in policies if p["spec"]["podSelector"]
               and selects(p["spec"]["podSelector"].get("matchLabels", {}), labels)]
        if not any(p["spec"].get("egress") for p in own):
            findings.append(f"{name(o)}: no NetworkPolicy lets it out to what it needs")
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            if not rule.get("from") or not rule.get("ports"):
                findings.append(f"{name(policy)}: lets in anybody, or to any port")
        for rule in policy["spec"].get("egress", []):
            if not rule.get("to") or not rule.get("ports"):
                findings.append(f"{name(policy)}: lets out to anywhere, or to any port")
            for peer in rule.get("to", []):
                block = peer.get("ipBlock")
                if block and ipaddress.ip_network(block["cidr"]).prefixlen == 0 and not block.get("except"):
                    findings.append(f"{name(policy)}: lets out to every address, inside ones too")
    return findings


def chosen(selector, labels):
    """Whether a selector with labels and expressions takes these labels."""
    for rule in selector.get("matchExpressions", []):
        if rule["operator"] != "In":
            raise ValueError(f"the check knows no {rule['operator']}")
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return selects(selector.get("matchLabels", {}), labels)


def both_sides(objects):
    """Every egress rule to pods has a matching ingress rule."""
    findings = []
    policies = kinds(objects, "NetworkPolicy")

    def peers(labels, way, member):
        return [peer["podSelector"] for p in policies if chosen(p["spec"]["podSelector"], labels)
                for rule in p["spec"].get(way, []) for peer in rule.get(member, [])
                if "podSelector" in peer and "namespaceSelector" not in peer]

    every = pod_labels(objects)
    for o, labels, _ in every:
        for wanted in peers(labels, "egress", "to"):
            for other, there, _ in every:
                if chosen(wanted, there) and not any(chosen(s, labels) for s in peers(there, "ingress", "from")):
                    findings.append(f"{name(o)}: is let out to {name(other)}, which doesn't let it in")
    return findings


def exposed(objects):
    """Only the gateway is reachable from outside."""
    findings = []
    for service in kinds(objects, "Service"):
        if service["spec"].get("type", "ClusterIP") != "ClusterIP":
            findings.append(f"{name(service)}: is open to the outside")
    for ingress in kinds(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                if backend != {"name": "gateway", "port": {"name": "http"}}:
                    findings.append(f"{name(ingress)}: leads to {backend}")
    for o, template in templates(objects):
        spec = template["spec"]
        if spec.get("hostNetwork") or any("hostPort" in p for c in containers(spec) for p in c.get("ports", [])):
            findings.append(f"{name(o)}: uses the network of the host")
    return findings


def no_secrets(objects):
    return [f"{name(o)}: a secret is no part of the manifests" for o in kinds(objects, "Secret")]


def settings(objects):
    """(ConfigMap, parsed sluice.toml) of each ConfigMap with settings."""
    for o in kinds(objects, "ConfigMap"):
        if "sluice.toml" in o.get("data", {}):
            yield o, tomllib.loads(o["data"]["sluice.toml"])


def catalogs(objects):
    """Exporters have a catalog file beside their settings."""
    findings = []
    for o, values in settings(objects):
        folder, _, file = values.get("exporter", {}).get("catalog", "").rpartition("/")
        if not file:
            findings.append(f"{name(o)}: exporter.catalog isn't set, so nobody's data is on offer")
        elif folder != "/etc/sluice" or file not in o["data"]:
            findings.append(f"{name(o)}: exporter.catalog is {folder}/{file}, which isn't in it")
    return findings


def clocks(objects):
    """The CronJob and backup.schedule have the same times."""
    findings = []
    wanted = {(v.get("backup", {}).get("schedule"), v.get("schedule_time_zone")) for _, v in settings(objects)}
    for o in kinds(objects, "CronJob"):
        if o["metadata"]["name"] == "backup" and {(o["spec"]["schedule"], o["spec"].get("timeZone"))} != wanted:
            findings.append(f"{name(o)}: runs at other times than [backup] in the settings says")
    return findings


def rights(objects):
    """Every binding names an existing role, and no right applies to another environment's namespace."""
    findings = []
    there = {(o["kind"], o["metadata"]["name"]) for o in kinds(objects, "Role", "ClusterRole")}
    own = {o["metadata"]["namespace"] for o in kinds(objects, "Role") if "namespace" in o["metadata"]}
    for o in kinds(objects, "RoleBinding", "ClusterRoleBinding"):
        if (o["roleRef"]["kind"], o["roleRef"]["name"]) not in there:
            findings.append(f"{name(o)}: there is no {o['roleRef']['kind']}/{o['roleRef']['name']}")
    for o in kinds(objects, "ClusterRole"):
        for rule in o["rules"]:
            if not rule.get("resourceNames") or (own and set(rule["resourceNames"]) != own):
                findings.append(f"{name(o)}: is about more than the namespace of its role")
    return findings


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
