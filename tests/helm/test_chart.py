"""What the chart makes of its values, object by object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import load
from tests.helm.rendering import containers, gateway_container, kinds, one, pod_templates, render

ROUTES = [{"name": "hello", "path": "/hello", "public": True, "respond": {"status": 204}}]
SECRET = "gateway-secrets"


def pod(values: dict[str, Any]) -> dict[str, Any]:
    """The spec of the gateway's pods."""
    return next(spec for _, spec in pod_templates(render(values)) if "volumes" in spec)


def gateway(values: dict[str, Any]) -> dict[str, Any]:
    return gateway_container(pod(values))


def configuration(values: dict[str, Any]) -> dict[str, Any]:
    """The gateway.yaml of the rendered ConfigMap."""
    return yaml.safe_load(one(render(values), "ConfigMap")["data"]["gateway.yaml"])


def checksum(values: dict[str, Any]) -> str:
    deployment = one(render(values), "Deployment")
    return deployment["spec"]["template"]["metadata"]["annotations"]["checksum/restart"]


def test_by_default_there_is_what_a_proxy_needs_and_nothing_more() -> None:
    assert kinds(render()) == [
        "ConfigMap",
        "Deployment",
        "Pod",
        "PodDisruptionBudget",
        "Service",
        "Service",
        "ServiceAccount",
    ]


def test_the_names_are_made_as_everywhere() -> None:
    assert one(render(), "Deployment")["metadata"]["name"] == "shop-oauth-gateway"
    assert one(render(release="oauth-gateway"), "Deployment")["metadata"]["name"] == "oauth-gateway"
    assert one(render({"nameOverride": "guard"}), "Deployment")["metadata"]["name"] == "shop-guard"
    long = render({"fullnameOverride": "g" * 70})
    assert one(long, "Deployment")["metadata"]["name"] == "g" * 56
    assert one(long, "Service", "-admin")["metadata"]["name"] == f"{'g' * 56}-admin"


def test_the_image_is_the_charts_version_a_tag_or_a_digest() -> None:
    assert gateway({})["image"] == "oauth-gateway:0.1.0"
    assert (
        gateway({"image": {"repository": "r.example/oauth-gateway", "tag": "1"}})["image"]
        == "r.example/oauth-gateway:1"
    )
    digest = f"sha256:{'a' * 64}"
    assert gateway({"image": {"tag": "1", "digest": digest}})["image"] == f"oauth-gateway@{digest}"


# --- ports and probes --------------------------------------------------------------------------------------------


def test_ports_probes_and_services_follow_the_configuration() -> None:
    values = {"config": {"listen": "0.0.0.0:8000", "admin": {"listen": "[::]:9000"}}}
    assert [(p["name"], p["containerPort"]) for p in gateway(values)["ports"]] == [("http", 8000), ("admin", 9000)]
    probes = {name: gateway(values)[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert probes == {
        "startup": {"path": "/startupz", "port": "admin"},
        "liveness": {"path": "/livez", "port": "admin"},
        "readiness": {"path": "/readyz", "port": "admin"},
    }
    made = render(values)
    assert one(made, "Service", "-admin")["spec"]["ports"][0]["port"] == 9000
    assert one(made, "Pod")["spec"]["containers"][0]["args"] == [
        "health",
        "http://shop-oauth-gateway-admin:9000/readyz",
    ]


def test_the_service_of_clients_has_no_admin_port() -> None:
    made = render()
    assert [port["targetPort"] for port in one(made, "Service", "gateway")["spec"]["ports"]] == ["http"]
    admin = one(made, "Service", "-admin")["spec"]
    assert (admin["clusterIP"], admin["publishNotReadyAddresses"]) == ("None", True)


def test_with_tls_the_port_says_so() -> None:
    values = {"config": {"tls": {"certificate": "/etc/tls/tls.crt", "private_key": "/etc/tls/tls.key"}}}
    assert gateway(values)["ports"][0]["name"] == "https"
    assert one(render(values), "Service", "gateway")["spec"]["ports"][0]["targetPort"] == "https"


def test_of_several_addresses_the_first_tcp_port_is_the_services() -> None:
    values = {"config": {"listen": ["unix:/tmp/g.sock", "0.0.0.0:8081", "0.0.0.0:8082"]}}
    assert gateway(values)["ports"][0]["containerPort"] == 8081


def test_a_probe_of_ones_own_replaces_the_handler() -> None:
    probe = gateway({"livenessProbe": {"exec": {"command": ["oauth-gateway", "health"]}}})["livenessProbe"]
    assert probe["exec"] == {"command": ["oauth-gateway", "health"]}
    assert "httpGet" not in probe


# --- the configuration -------------------------------------------------------------------------------------------


def test_the_configuration_is_what_was_written_with_the_drain_of_the_mode() -> None:
    config = configuration({"config": {"routes": ROUTES, "timeouts": {"idle": "10s"}}})
    assert config["routes"] == ROUTES
    assert config["timeouts"] == {"idle": "10s", "drain_delay": "5s", "drain": "30s"}
    assert config["admin"] == {"listen": "0.0.0.0:9090"}
    assert configuration({"mode": "sidecar", "config": {"routes": ROUTES}})["timeouts"]["drain_delay"] == "0s"
    assert configuration({"config": {"timeouts": {"drain_delay": 0}}})["timeouts"]["drain_delay"] == 0


def test_a_reference_stays_a_text_and_a_large_number_a_number(tmp_path: Path) -> None:
    body = "a: ${A}\n${B}\n"
    config = {
        "issuers": {"a": {"issuer": "https://a.example/${T:-x}", "audience": ["${PROJECT:-7}", 'say "${C:-}"']}},
        "limits": {"request_body": 104857600},
        "routes": [
            {
                **ROUTES[0],
                "respond": {"status": 200, "body": body},
                "response_headers": {"set": {"X-A": "${A:-true}", "X-B": "<${B:-1}&>"}},
            }
        ],
    }
    assert configuration({"config": config}).items() >= config.items()
    file = tmp_path / "gateway.yaml"
    file.write_text(one(render({"config": config}), "ConfigMap")["data"]["gateway.yaml"])
    read = load(file, {"A": "one", "B": "two"})
    assert read.issuers["a"].audience == ("7", 'say ""')
    assert read.limits.request_body == 104857600
    assert read.routes[0].response_headers.set == {"X-A": "one", "X-B": "<two&>"}
    assert read.routes[0].respond is not None
    assert read.routes[0].respond.body == "a: one\ntwo\n"


FILE = "# mine\nlisten: 127.0.0.1:1\nworkers: ${WORKERS:-1}\nroutes: [{path: /x, public: true, respond: {}}]\n"


def test_a_file_is_mounted_as_it_is_and_wired_by_the_environment() -> None:
    values = {"configFile": FILE, "config": {"listen": "0.0.0.0:8000", "timeouts": {"drain": "20s"}}}
    assert one(render(values), "ConfigMap")["data"]["gateway.yaml"].rstrip("\n") == FILE.rstrip("\n")
    assert {v["name"]: v["value"] for v in gateway(values)["env"]} == {
        "OAUTH_GATEWAY__LISTEN": "0.0.0.0:8000",
        "OAUTH_GATEWAY__ADMIN__LISTEN": "0.0.0.0:9090",
        "OAUTH_GATEWAY__TIMEOUTS__DRAIN_DELAY": "5s",
        "OAUTH_GATEWAY__TIMEOUTS__DRAIN": "20s",
    }
    assert pod(values)["terminationGracePeriodSeconds"] == 35
    assert "env" not in gateway({})


def test_an_existing_configmap_is_mounted_and_none_is_made() -> None:
    values = {"existingConfigMap": "mine"}
    assert "ConfigMap" not in kinds(render(values))
    assert pod(values)["volumes"][0] == {"name": "gateway-config", "configMap": {"name": "mine"}}
    assert len(gateway(values)["env"]) == 4


def test_the_configuration_is_mounted_as_a_folder_so_that_changes_arrive() -> None:
    mount = gateway({})["volumeMounts"][0]
    assert mount == {"name": "gateway-config", "mountPath": "/etc/oauth-gateway", "readOnly": True}


def test_an_existing_secret_is_files_that_only_the_gateway_sees() -> None:
    values = {"existingSecret": SECRET, "extraContainers": [{"name": "other", "image": "other"}]}
    volume = next(v for v in pod(values)["volumes"] if v["name"] == "gateway-secrets")
    assert volume["secret"] == {"secretName": SECRET, "defaultMode": 0o444}
    mounts = {
        c["name"]: [m["mountPath"] for m in c.get("volumeMounts", []) if m["name"] == "gateway-secrets"]
        for c in containers(pod(values))
    }
    assert mounts == {"oauth-gateway": ["/run/secrets/oauth-gateway"], "other": []}
    assert all(made["kind"] != "Secret" for made in render(values))


# --- what rolls the pods -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"listen": "0.0.0.0:8081"},
        {"admin": {"listen": "0.0.0.0:9091"}},
        {"workers": 2},
        {"redis": {"url": "redis://redis:6379/0"}},
        {"tls": {"certificate": "/a", "private_key": "/b"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_reload_can_not_change_rolls_the_pods(change: dict[str, Any]) -> None:
    assert checksum({"config": change}) != checksum({})


@pytest.mark.parametrize(
    "change",
    [
        {"routes": ROUTES},
        {"issuers": {"a": {"issuer": "https://a.example", "audience": "a"}}},
        {"upstreams": {"a": {"url": "http://a"}}},
        {"limits": {"token": "8KiB"}},
        {"log": {"level": "debug"}},
        {"admin": {"token": "${TOKEN}"}},
        {"timeouts": {"idle": "1s"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_reload_takes_over_does_not(change: dict[str, Any]) -> None:
    assert one(render({"config": change}), "Deployment") == one(render(), "Deployment")


def test_another_certificate_does_not_but_tls_itself_does() -> None:
    first, second = ({"config": {"tls": {"certificate": f"/{n}", "private_key": f"/{n}.key"}}} for n in "ab")
    assert checksum(first) == checksum(second) != checksum({})


def test_a_file_rolls_the_pods_by_the_same_rule() -> None:
    assert checksum({"configFile": FILE.replace("/x", "/y")}) == checksum({"configFile": FILE})
    assert checksum({"configFile": FILE.replace(":-1}", ":-2}")}) != checksum({"configFile": FILE})


# --- how a pod ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeouts", "seconds"),
    [
        ({}, 45),
        ({"drain_delay": "10s", "drain": "1m30s"}, 110),
        ({"drain_delay": "500ms", "drain": "1500ms"}, 13),
        ({"drain_delay": 0, "drain": "1h"}, 3610),
        ({"drain_delay": "0s", "drain": "0s"}, 10),
    ],
)
def test_a_pod_has_the_time_that_draining_takes(timeouts: dict[str, Any], seconds: int) -> None:
    assert pod({"config": {"timeouts": timeouts}})["terminationGracePeriodSeconds"] == seconds


def test_a_longer_time_may_be_given() -> None:
    assert pod({"terminationGracePeriodSeconds": 35})["terminationGracePeriodSeconds"] == 35
    assert pod({"terminationGracePeriodSeconds": 300})["terminationGracePeriodSeconds"] == 300


# --- scaling and spreading ---------------------------------------------------------------------------------------


def test_pods_are_counted_by_one_of_two() -> None:
    assert one(render(), "Deployment")["spec"]["replicas"] == 2
    scaled = render({"autoscaling": {"enabled": True, "targetMemoryUtilizationPercentage": 80}})
    assert "replicas" not in one(scaled, "Deployment")["spec"]
    metrics = one(scaled, "HorizontalPodAutoscaler")["spec"]["metrics"]
    targets = {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in metrics}
    assert targets == {"cpu": 70, "memory": 80}


def test_the_budget_lets_one_pod_go_and_does_not_count_pods_that_wait() -> None:
    budget = one(render(), "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    least = one(render({"podDisruptionBudget": {"minAvailable": 0}}), "PodDisruptionBudget")["spec"]
    assert (least["minAvailable"], "maxUnavailable" in least) == (0, False)


def test_pods_are_spread_over_nodes_and_zones() -> None:
    spread = pod({})["topologySpreadConstraints"]
    assert [c["topologyKey"] for c in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(c["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "shop" for c in spread)
    own = {"maxSkew": 2, "topologyKey": "x", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {}}}
    assert pod({"topologySpreadConstraints": [{**own, "labelSelector": {"matchLabels": {"a": "b"}}}]})[
        "topologySpreadConstraints"
    ] == [{**own, "labelSelector": {"matchLabels": {"a": "b"}}}]


def test_the_gateway_has_no_token_of_the_cluster_and_no_variables_of_its_services() -> None:
    assert (pod({})["automountServiceAccountToken"], pod({})["enableServiceLinks"]) == (False, False)
    assert pod({"serviceAccount": {"create": False}})["serviceAccountName"] == "default"
    assert pod({"serviceAccount": {"create": False, "name": "mine"}})["serviceAccountName"] == "mine"


# --- ways in -----------------------------------------------------------------------------------------------------


def test_an_ingress_leads_to_the_service() -> None:
    values = {"ingress": {"enabled": True, "hosts": [{"host": "a.example.com"}]}, "service": {"port": 8000}}
    (rule,) = one(render(values), "Ingress")["spec"]["rules"]
    assert rule["host"] == "a.example.com"
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/", "Prefix")
    assert path["backend"]["service"] == {"name": "shop-oauth-gateway", "port": {"number": 8000}}


def test_a_route_of_the_gateway_api_leads_to_the_service_unless_it_says_otherwise() -> None:
    other = [{"name": "other", "port": 1}]
    values = {
        "httpRoute": {
            "enabled": True,
            "parentRefs": [{"name": "public"}],
            "rules": [{"matches": []}, {"backendRefs": other}],
        }
    }
    first, second = one(render(values), "HTTPRoute")["spec"]["rules"]
    assert first["backendRefs"] == [{"name": "shop-oauth-gateway", "port": 80}]
    assert second["backendRefs"] == other


def test_a_policy_opens_the_traffic_port_to_clients_and_the_admin_port_to_those_named() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    values = {"networkPolicy": {"enabled": True, "from": [{"podSelector": {}}], "adminFrom": [peer]}}
    spec = one(render(values), "NetworkPolicy")["spec"]
    traffic, admin = spec["ingress"]
    assert (traffic["ports"][0]["port"], traffic["from"]) == (8080, [{"podSelector": {}}])
    assert admin["ports"][0]["port"] == 9090
    assert admin["from"][1:] == [peer]
    assert spec["policyTypes"] == ["Ingress"]
    everybody = one(render({"networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]["ingress"]
    assert "from" not in everybody[0]
    assert len(everybody[1]["from"]) == 1  # an empty list would be everybody


def test_a_policy_that_names_where_to_go_adds_names_resolution() -> None:
    rule = {"ports": [{"port": 443, "protocol": "TCP"}]}
    spec = one(render({"networkPolicy": {"enabled": True, "egress": [rule]}}), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert {port["port"] for port in spec["egress"][0]["ports"]} == {53}
    assert spec["egress"][1:] == [rule]


def test_objects_of_ones_own_are_rendered() -> None:
    extra = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-mine"}}
    assert one(render({"extraObjects": [extra]}), "ConfigMap", "-mine")["metadata"]["name"] == "shop-mine"
