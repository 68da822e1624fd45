"""Over many values: objects fit Kubernetes' schemas, pods are restricted, the gateway takes its configuration."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.helm.rendering import (
    CHART,
    ROOT,
    VERSIONS,
    Object,
    breaches,
    check_object,
    containers,
    gateway_container,
    one,
    pod_templates,
    render,
    run_tool,
)

CONFIG: dict[str, Any] = {
    "issuers": {"corp": {"issuer": "https://login.example.com", "audience": "${AUDIENCE:-42}"}},
    "upstreams": {"orders": {"url": "http://orders:8000"}},
    "routes": [
        {
            "path": "/orders/{tenant}/{rest:**}",
            "upstream": "orders",
            "max_body": 104857600,
            "require": {
                "scopes": ["orders"],
                "claims": {"tenant": "{tenant}", "cognito:groups": {"contains": "${G:-1}"}},
            },
        }
    ],
}
FILE = "# as it is\nroutes:\n  - {path: /x, public: true, respond: {status: 204}}\n"
MONITORS = {
    "serviceMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "interval": "30s",
        "scrapeTimeout": "10s",
        "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
        "metricRelabelings": [{"sourceLabels": ["route"], "regex": "x", "action": "drop"}],
    },
    "prometheusRule": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "disabled": ["OAuthGatewayAbsent"],
        "alertLabels": {"team": "web"},
        "additionalRules": [{"record": "x", "expr": "sum(gateway_requests_total)"}],
    },
    "dashboard": {"enabled": True, "annotations": {"folder": "web"}},
}
FULL: dict[str, Any] = {
    "config": CONFIG,
    "replicaCount": 3,
    "image": {"repository": "r.example/oauth-gateway", "digest": f"sha256:{'0' * 64}", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "existingSecret": "gateway-secrets",
    "env": [
        {"name": "AUDIENCE", "value": "orders-api"},
        {"name": "ADMIN_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ],
    "envFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "kube-root-ca.crt"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}},
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ include "oauth-gateway.fullname" . }}-text}\n',
    ],
    "serviceAccount": {"annotations": {"iam.example/role": "gateway"}},
    "podAnnotations": {"a.example/b": "c"},
    "podLabels": {"team": "web"},
    "deploymentAnnotations": {"a.example/b": "c"},
    "service": {
        "type": "LoadBalancer",
        "port": 443,
        "nodePort": 30443,
        "externalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": ["192.0.2.0/24"],
        "trafficDistribution": "PreferClose",
        "appProtocol": "http",
        "annotations": {"a.example/b": "c"},
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"a.example/b": "c"},
        "hosts": [{"host": "a.example.com"}, {"paths": [{"path": "/x", "pathType": "Exact"}]}],
        "tls": [{"secretName": "tls", "hosts": ["a.example.com"]}],
    },
    "httpRoute": {
        "enabled": True,
        "annotations": {"a.example/b": "c"},
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["api.example.com"],
        "rules": [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/orders"}}], "timeouts": {"request": "30s"}},
            {"backendRefs": [{"name": "other", "port": 80}]},
        ],
    },
    "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
    "terminationGracePeriodSeconds": 120,
    "autoscaling": {
        "enabled": True,
        "targetMemoryUtilizationPercentage": 80,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
    },
    "podDisruptionBudget": {"minAvailable": "50%"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a.example.com"]}],
    "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
    "extraContainers": [{"name": "other", "image": "other:1"}],
    "extraInitContainers": [{"name": "first", "image": "other:1"}],
    "networkPolicy": {
        "enabled": True,
        "from": [{"podSelector": {}}],
        "adminFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
    },
    **MONITORS,
}
SIDECAR = {
    "mode": "sidecar",
    "config": CONFIG,
    "networkPolicy": {"enabled": True},
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}
MATRIX: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "a configuration": {"config": CONFIG},
    "everything": FULL,
    "a file": {"configFile": FILE},
    "an existing ConfigMap": {"existingConfigMap": "mine", "existingSecret": "mine"},
    "no budget, no account": {
        "podDisruptionBudget": {"enabled": False},
        "serviceAccount": {"create": False},
        "topologySpreadConstraints": [],
        "resources": {},
    },
    "own names": {"nameOverride": "guard", "fullnameOverride": "g" * 70},
    "own probes": {"livenessProbe": {"exec": {"command": ["oauth-gateway", "health"]}, "httpGet": None}},
    "several addresses": {"config": {**CONFIG, "listen": ["unix:/tmp/gateway.sock", "[::]:8081", "0.0.0.0:8082"]}},
    "closed by a policy": {"networkPolicy": {"enabled": True, "egress": []}},
    "pods monitored": {"podMonitor": {"enabled": True, "interval": "15s"}},
    "recreated": {"strategy": {"type": "Recreate", "rollingUpdate": None}},
    "sidecar": SIDECAR,
    "sidecar with labels": {**SIDECAR, "sidecar": {"name": "guard", "selectorLabels": {"app": "orders"}}},
}
ROWS = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())


@ROWS
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_schemas_of_kubernetes(values: Mapping[str, Any], version: str) -> None:
    for made in render(values):
        check_object(made, version)


def test_the_last_four_minor_versions_are_four_that_follow_each_other() -> None:
    minors = [int(version.removeprefix("1.")) for version in VERSIONS]
    assert minors == list(range(minors[0], minors[0] + 4))


@pytest.mark.parametrize("kind", ["Deployment", "HTTPRoute", "ServiceMonitor", "PrometheusRule", "Ingress"])
def test_an_object_with_a_field_that_is_not_there_is_found(kind: str) -> None:
    made = one(render(FULL), kind)
    made["spec"]["feild"] = 1
    with pytest.raises(jsonschema.ValidationError, match="feild"):
        check_object(made, VERSIONS[-1])


@ROWS
def test_every_pod_is_restricted(values: Mapping[str, Any]) -> None:
    for _, pod in pod_templates(render(values)):
        strangers = {"other", "first"}
        assert [found for found in breaches(pod) if found.split(":")[0] not in strangers] == []
        assert gateway_container(pod)["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_pod_that_is_not_restricted_is_found() -> None:
    _, pod = next(pod_templates(render({"securityContext": {"capabilities": {"drop": None}}})))
    assert list(breaches(pod)) == ["oauth-gateway: capabilities.drop"]
    (found, *_) = breaches({"containers": [{"name": "x"}], "hostNetwork": True})
    assert found == "hostNetwork"


def checked(text: str, folder: Path, environ: Mapping[str, str] | None = None) -> None:
    """`oauth-gateway check` as a pod would have the file."""
    (folder / "gateway.yaml").write_text(text)
    command = [sys.executable, "-m", "gateway", "check", "-c", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **(environ or {})}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@ROWS
def test_the_gateway_takes_the_configuration(values: Mapping[str, Any], tmp_path: Path) -> None:
    made = render(values)
    configurations = [m for m in made if m["kind"] == "ConfigMap" and "gateway.yaml" in m.get("data", {})]
    assert len(configurations) == (0 if "existingConfigMap" in values else 1)
    for found in configurations:
        pods = [gateway_container(pod) for _, pod in pod_templates(made) if "volumes" in pod]
        environ = {v["name"]: v["value"] for container in pods for v in container.get("env", []) if "value" in v}
        checked(found["data"]["gateway.yaml"], tmp_path, environ)


@ROWS
def test_what_one_object_names_of_another_is_there(values: Mapping[str, Any]) -> None:
    made = render(values)
    names = {(m["kind"], m["metadata"]["name"]) for m in made}
    pods = [(metadata, pod) for metadata, pod in pod_templates(made) if "volumes" in pod]
    for metadata, pod in pods:
        mounted = {volume["name"] for volume in pod["volumes"]}
        assert {m["name"] for m in gateway_container(pod)["volumeMounts"]} == mounted
        if not values.get("existingConfigMap"):
            assert ("ConfigMap", pod["volumes"][0]["configMap"]["name"]) in names
        assert (("ServiceAccount", pod["serviceAccountName"]) in names) == (pod["serviceAccountName"] != "default")
        for found in selecting(made):
            assert found.items() <= metadata["labels"].items()
        ports = {port["name"] for container in containers(pod) for port in container.get("ports", [])}
        assert {port["targetPort"] for m in made if m["kind"] == "Service" for port in m["spec"]["ports"]} <= ports
    deployments = {name for kind, name in names if kind == "Deployment"}
    assert {m["spec"]["scaleTargetRef"]["name"] for m in made if m["kind"] == "HorizontalPodAutoscaler"} <= deployments


def selecting(made: list[Object]) -> list[Mapping[str, str]]:
    """Every selector of pods of the gateway."""
    found = [m["spec"]["selector"] for m in made if m["kind"] == "Service"]
    for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
        found += [m["spec"]["selector"]["matchLabels"] for m in made if m["kind"] == kind]
    found += [m["spec"]["podSelector"]["matchLabels"] for m in made if m["kind"] == "NetworkPolicy"]
    return found


@ROWS
def test_the_pod_of_the_test_is_none_of_the_gateway(values: Mapping[str, Any]) -> None:
    made = render(values)
    for metadata in (m["metadata"] for m in made if m["kind"] == "Pod"):
        assert not any(selector.items() <= metadata["labels"].items() for selector in selecting(made))


@pytest.mark.parametrize("values", [{}, FULL, SIDECAR], ids=["defaults", "everything", "sidecar"])
def test_helm_lint_finds_nothing(values: Mapping[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    done = run_tool("helm", "lint", "--strict", str(CHART), "-f", str(file))
    assert done.returncode == 0, done.stdout


def test_the_version_is_that_of_the_gateway() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
