"""Tests of kubernetes.py: correct objects pass, and each object with one fault fails."""

import copy
import pathlib
import unittest

import yaml

import kubernetes

SCHEMAS = kubernetes.load_schemas(pathlib.Path(__file__).parents[2] / "ops/kubernetes/schemas")

RIGHT = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: gateway}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  sluice.toml: |
    schedule_time_zone = "Etc/UTC"
    [exporter]
    catalog = "/etc/sluice/catalog.toml"
    [backup]
    schedule = "15 3 * * *"
  catalog.toml: ""
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup}
spec:
  schedule: "15 3 * * *"
  timeZone: Etc/UTC
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: backup}}
        spec:
          serviceAccountName: gateway
          automountServiceAccountToken: false
          restartPolicy: Never
          securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
          containers:
            - name: backup
              image: sluice/sluice:1.2.3
              securityContext:
                allowPrivilegeEscalation: false
                readOnlyRootFilesystem: true
                capabilities: {drop: [ALL]}
              resources: {requests: {cpu: 1m, memory: 1Mi}, limits: {memory: 1Mi}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: backup}
spec:
  podSelector: {matchLabels: {app: backup}}
  policyTypes: [Ingress, Egress]
  egress: [{to: [{podSelector: {matchLabels: {app: gateway}}}], ports: [{port: http}]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: sluice}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: deployer}
rules: [{apiGroups: [""], resources: [namespaces], resourceNames: [sluice], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: deployer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: deployer}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: somebody}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway}
spec:
  selector: {matchLabels: {app: gateway}}
  strategy: {rollingUpdate: {maxUnavailable: 0}}
  template:
    metadata: {labels: {app: gateway}}
    spec:
      serviceAccountName: gateway
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: gateway
          image: sluice/gateway:1.2.3
          ports: [{name: http, containerPort: 8080}]
          startupProbe: {httpGet: {path: /, port: http}}
          readinessProbe: {httpGet: {path: /, port: http}}
          livenessProbe: {httpGet: {path: /, port: http}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          resources: {requests: {cpu: 1m, memory: 1Mi}, limits: {memory: 1Mi}}
          env: [{name: A, value: b}]
          volumeMounts: [{name: settings, mountPath: /a}, {name: secrets, mountPath: /b}]
      volumes:
        - {name: settings, configMap: {name: settings}}
        - {name: secrets, secret: {secretName: sluice-gateway}}
---
apiVersion: v1
kind: Service
metadata: {name: gateway}
spec:
  selector: {app: gateway}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: gateway}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: gateway}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: gateway}
spec: {maxReplicas: 2, scaleTargetRef: {kind: Deployment, name: gateway}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: gateway}
spec:
  podSelector: {matchLabels: {app: gateway}}
  ingress:
    - from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [gateway, backup]}]}}]
      ports: [{port: http}]
  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 5432}]}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: gateway}
spec:
  rules:
    - host: a.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: gateway, port: {name: http}}}}]}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: all}
spec: {selector: {matchLabels: {app: gateway}}, podMetricsEndpoints: [{port: http}]}
"""


def pod(objects):
    return by(objects, "Deployment")["spec"]["template"]["spec"]


def container(objects):
    return pod(objects)["containers"][0]


def by(objects, kind, name=None):
    return next(o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"]))


WRONG = {
    "runAsNonRoot": lambda o: pod(o)["securityContext"].pop("runAsNonRoot"),
    "seccompProfile": lambda o: pod(o)["securityContext"].pop("seccompProfile"),
    "token": lambda o: pod(o).pop("automountServiceAccountToken"),
    "no service account of its own": lambda o: pod(o).pop("serviceAccountName"),
    "readOnlyRootFilesystem": lambda o: container(o)["securityContext"].pop("readOnlyRootFilesystem"),
    "allowPrivilegeEscalation": lambda o: container(o)["securityContext"].update(allowPrivilegeEscalation=True),
    "capabilities": lambda o: container(o)["securityContext"].pop("capabilities"),
    "no limit of memory": lambda o: container(o)["resources"].pop("limits"),
    "isn't pinned": lambda o: container(o).update(image="sluice/gateway:latest"),
    "secret into the environment": lambda o: container(o)["env"].append(
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "sluice-gateway", "key": "p"}}}),
    "no such name": lambda o: container(o)["readinessProbe"]["httpGet"].update(port="metrics"),
    "no livenessProbe": lambda o: container(o).pop("livenessProbe"),
    "no volume": lambda o: pod(o)["volumes"].pop(),
    "stands twice": lambda o: o.append(copy.deepcopy(o[0])),
    "selects no pod": lambda o: by(o, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update(app="other"),
    "no port": lambda o: by(o, "Service")["spec"]["ports"][0].update(targetPort="metrics"),
    "no ConfigMap": lambda o: o.remove(by(o, "ConfigMap")),
    "no ServiceAccount": lambda o: o.remove(by(o, "ServiceAccount")),
    "no Secret": lambda o: pod(o)["volumes"][1]["secret"].update(secretName="unknown"),
    "no Deployment": lambda o: by(o, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="other"),
    "sets replicas": lambda o: by(o, "Deployment")["spec"].update(replicas=3),
    "maxUnavailable isn't 0": lambda o: by(o, "Deployment")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
    "no PodDisruptionBudget": lambda o: o.remove(by(o, "PodDisruptionBudget")),
    "closes everything": lambda o: o.remove(by(o, "NetworkPolicy", "closed")),
    "lets it out": lambda o: o.remove(by(o, "NetworkPolicy", "gateway")),
    "lets in anybody": lambda o: by(o, "NetworkPolicy", "gateway")["spec"]["ingress"][0].pop("from"),
    "out to anywhere": lambda o: by(o, "NetworkPolicy", "gateway")["spec"]["egress"][0].pop("to"),
    "inside ones too": lambda o: by(o, "NetworkPolicy", "gateway")["spec"]["egress"][0]["to"][0]["ipBlock"].update(
        cidr="0.0.0.0/0"),
    "open to the outside": lambda o: by(o, "Service")["spec"].update(type="LoadBalancer"),
    "leads to": lambda o: by(o, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(
        name="notifier"),
    "network of the host": lambda o: pod(o).update(hostNetwork=True),
    "no part of the manifests": lambda o: o.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}),
}

WRONG |= {
    "doesn't let it in": lambda o: by(o, "NetworkPolicy", "gateway")["spec"]["ingress"][0]["from"][0]["podSelector"][
        "matchExpressions"][0]["values"].remove("backup"),
    "nobody's data is on offer": lambda o: by(o, "ConfigMap")["data"].update({"sluice.toml": "[exporter]"}),
    "which isn't in it": lambda o: by(o, "ConfigMap")["data"].pop("catalog.toml"),
    "other times": lambda o: by(o, "CronJob")["spec"].update(schedule="15 4 * * *"),
    "other times than": lambda o: by(o, "CronJob")["spec"].pop("timeZone"),
    "no ClusterRole": lambda o: by(o, "ClusterRole")["metadata"].update(name="another"),
    "more than the namespace": lambda o: by(o, "ClusterRole")["rules"][0].update(resourceNames=["sluice-staging"]),
    "is about more": lambda o: by(o, "ClusterRole")["rules"][0].pop("resourceNames"),
}

WRONG_FORM = {
    "replica": lambda o: by(o, "Deployment")["spec"].update(replica=3),
    "podMetricsEndpoint'": lambda o: by(o, "PodMonitor")["spec"].update(podMetricsEndpoint=[]),
    "find schema": lambda o: o.append({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}}),
}


class Check(unittest.TestCase):
    def objects(self):
        return list(yaml.safe_load_all(RIGHT))

    def test_right_objects_pass(self):
        self.assertEqual(kubernetes.check(self.objects(), SCHEMAS), [])

    def test_nothing_is_no_success(self):
        self.assertTrue(kubernetes.check([], SCHEMAS))

    def test_each_wrong_thing_is_found(self):
        self.find(WRONG, kubernetes.against_rules)

    def test_each_wrong_form_is_found(self):
        self.find(WRONG_FORM, lambda objects: kubernetes.check(objects, SCHEMAS))

    def find(self, wrong, check):
        for text, spoil in wrong.items():
            with self.subTest(text):
                objects = self.objects()
                spoil(objects)
                findings = check(objects)
                self.assertTrue(any(text in finding for finding in findings), findings)


if __name__ == "__main__":
    unittest.main()
