"""The gateway beside a service: by a chart that includes its templates, by plain manifests, by kustomize."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.rendering import (
    CHART,
    ROOT,
    VERSIONS,
    Object,
    breaches,
    check_object,
    gateway_container,
    kinds,
    objects,
    one,
    pod_templates,
    render,
    run_tool,
)
from tests.helm.test_objects import checked

WAYS = ("a chart", "plain manifests", "kustomize")


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of a chart that includes the sidecar, with its dependency fetched."""
    chart = Path(shutil.copytree(ROOT / "helm/examples/orders", tmp_path_factory.mktemp("chart") / "orders"))
    description = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(description.replace("file://../../oauth-gateway", f"file://{CHART}"))
    done = run_tool("helm", "dependency", "update", "--skip-refresh", str(chart))
    assert done.returncode == 0, done.stdout + done.stderr
    return chart


@pytest.fixture(params=WAYS)
def made(request: pytest.FixtureRequest, parent: Path) -> list[Object]:
    """The objects, each way."""
    if request.param == "a chart":
        return render(chart=parent)
    if request.param == "plain manifests":
        return objects((ROOT / "kubernetes/sidecar/sidecar.yaml").read_text())
    done = run_tool("kustomize", "build", str(ROOT / "kubernetes/example"))
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_schemas_of_kubernetes(made: list[Object], version: str) -> None:
    for found in made:
        check_object(found, version)


def test_the_gateway_is_a_native_sidecar_of_a_restricted_pod(made: list[Object]) -> None:
    ((_, pod),) = pod_templates(made)
    (sidecar,) = pod["initContainers"]
    assert gateway_container(pod) is sidecar
    assert sidecar["restartPolicy"] == "Always"
    assert list(breaches(pod)) == []
    assert pod["enableServiceLinks"] is False
    assert {
        probe: sidecar[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    } == {
        "startupProbe": "gateway-admin",
        "livenessProbe": "gateway-admin",
        "readinessProbe": "gateway-admin",
    }
    assert {m["name"] for m in sidecar["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_clients_reach_the_gateway_and_nothing_reaches_the_service(made: list[Object]) -> None:
    ((metadata, pod),) = pod_templates(made)
    (service,) = [found for found in made if found["kind"] == "Service"]
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["gateway"]
    assert service["spec"]["selector"].items() <= metadata["labels"].items()
    assert "--host=127.0.0.1" in pod["containers"][0]["args"]
    for policy in (found for found in made if found["kind"] == "NetworkPolicy"):
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= metadata["labels"].items()
        open_ports = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert open_ports <= {port["containerPort"] for port in pod["initContainers"][0]["ports"]}
        assert all("from" in rule or rule["ports"][0]["port"] == 8080 for rule in policy["spec"]["ingress"])


def test_the_service_waits_for_load_balancers_and_the_pod_for_both(made: list[Object]) -> None:
    ((_, pod),) = pod_templates(made)
    seconds = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert seconds >= 5
    assert pod["terminationGracePeriodSeconds"] >= seconds + 10


def test_the_gateway_takes_the_configuration(made: list[Object], tmp_path: Path) -> None:
    ((_, pod),) = pod_templates(made)
    sidecar = gateway_container(pod)
    (volume,) = [v for v in pod["volumes"] if v["name"] == "gateway-config"]
    configuration = one(made, "ConfigMap", volume["configMap"]["name"])["data"]["gateway.yaml"]
    environ = {variable["name"]: variable["value"] for variable in sidecar.get("env", [])}
    checked(configuration, tmp_path, environ)
    assert yaml.safe_load(configuration)["upstreams"]["orders"]["url"] == "http://127.0.0.1:9000"
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    assert ports == {"gateway": 8080, "gateway-admin": 9090}


def test_as_a_sidecar_the_chart_makes_no_workload() -> None:
    assert kinds(render({"mode": "sidecar"})) == ["ConfigMap"]
    assert kinds(render({"mode": "sidecar", "ingress": {"enabled": True, "hosts": [{"host": "a.example"}]}})) == [
        "ConfigMap"
    ]


def rendered_with(parent: Path, **gateway: Any) -> list[Object]:
    """The example with these values for the gateway."""
    return render({"oauth-gateway": gateway}, chart=parent)


def test_the_values_below_the_name_of_the_chart_reach_the_sidecar(parent: Path) -> None:
    found = rendered_with(
        parent,
        existingSecret="keys",
        sidecar={"name": "guard"},
        resources={"limits": {"memory": "1Gi"}},
        config={"listen": "0.0.0.0:8888"},
        env=[{"name": "A", "value": "b"}],
    )
    ((_, pod),) = pod_templates(found)
    (sidecar,) = pod["initContainers"]
    assert sidecar["name"] == "guard"
    assert [(port["name"], port["containerPort"]) for port in sidecar["ports"]] == [
        ("guard", 8888),
        ("guard-admin", 9090),
    ]
    assert sidecar["resources"]["limits"] == {"memory": "1Gi"}
    assert sidecar["env"] == [{"name": "A", "value": "b"}]
    assert "gateway-secrets" in {volume["name"] for volume in pod["volumes"]}
    assert one(found, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] == "guard-admin"


def test_the_pods_of_the_other_chart_roll_by_the_same_rule(parent: Path) -> None:
    def checksum(config: dict[str, Any]) -> str:
        ((metadata, _),) = pod_templates(rendered_with(parent, config=config))
        return metadata["annotations"]["checksum/oauth-gateway"]

    assert checksum({"log": {"level": "debug"}}) == checksum({})
    assert checksum({"workers": 2}) != checksum({})


def test_the_component_leaves_other_deployments_alone(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "kubernetes", tmp_path / "kubernetes")
    file = tmp_path / "kubernetes/example/orders.yaml"
    file.write_text(file.read_text().replace("oauth-gateway: sidecar", "oauth-gateway: not-here"))
    done = run_tool("kustomize", "build", str(tmp_path / "kubernetes/example"))
    assert "initContainers" not in one(objects(done.stdout), "Deployment")["spec"]["template"]["spec"]
