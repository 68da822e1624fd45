"""The chart rendered by the real helm, and what can be said of its objects without a cluster."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.helm.custom_resources import SCHEMAS

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "helm/oauth-gateway"
SECONDS = 120
VERSIONS = sorted(
    {kubernetes_validate.utils.major_minor(version) for version in kubernetes_validate.utils.all_versions()},
    key=lambda version: [int(part) for part in version.split(".")],
)[-4:]
"""The last four minor versions of Kubernetes that there are schemas of."""

Object = dict[str, Any]
Values = Mapping[str, Any]


def find_tool(name: str) -> str:
    """The path of helm or kustomize, or a skipped test that says how to get it."""
    built = ROOT / ".tools" / name
    path = str(built) if built.is_file() else shutil.which(name)
    if path is None:
        pytest.skip(f"the chart is not tested: {name} is not here; scripts/tools builds it where Go is")
    return path


def run_tool(name: str, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run helm or kustomize with nothing of the machine's own settings."""
    with tempfile.TemporaryDirectory() as home:
        environ = {"HOME": home, "HELM_NO_PLUGINS": "1", "PATH": "/usr/bin:/bin"}
        command = [find_tool(name), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, env=environ, cwd=folder, check=False
        )


def helm_template(values: Values, *arguments: str, chart: Path = CHART, release: str = "shop") -> tuple[int, str, str]:
    """Exit status, output and errors of rendering the chart with these values."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        done = run_tool("helm", "template", release, str(chart), "-n", "web", "-f", file.name, *arguments)
    return done.returncode, done.stdout, done.stderr


@functools.lru_cache(maxsize=256)
def _rendered(values: str, chart: Path, release: str) -> str:
    code, output, errors = helm_template(json.loads(values), chart=chart, release=release)
    assert code == 0, errors
    return output


def render(values: Values | None = None, chart: Path = CHART, release: str = "shop") -> list[Object]:
    """The objects that the chart makes with these values."""
    return objects(_rendered(json.dumps(values or {}, sort_keys=True), chart, release))


def refusal(values: Values, *arguments: str) -> str:
    """What helm says of values that are refused."""
    code, output, errors = helm_template(values, *arguments)
    assert code != 0, output
    return errors


def objects(text: str) -> list[Object]:
    """Every object of some YAML."""
    return [found for found in yaml.safe_load_all(text) if found is not None]


def kinds(found: list[Object]) -> list[str]:
    """What there is, sorted."""
    return sorted(made["kind"] for made in found)


def one(found: list[Object], kind: str, name: str = "") -> Object:
    """The only object of that kind, and of a name that ends so."""
    (made,) = [made for made in found if made["kind"] == kind and made["metadata"]["name"].endswith(name)]
    return made


def pod_templates(found: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Metadata and spec of each pod that these objects make."""
    for made in found:
        if made["kind"] == "Pod":
            yield made["metadata"], made["spec"]
        elif made["kind"] == "Deployment":
            template = made["spec"]["template"]
            yield template["metadata"], template["spec"]


def containers(pod: Object) -> list[Object]:
    """Every container of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def gateway_container(pod: Object) -> Object:
    """The one that is the gateway."""
    (found,) = [container for container in containers(pod) if "oauth-gateway" in container["image"]]
    return found


def check_object(made: Object, version: str) -> None:
    """That Kubernetes of that version would take it; raises what is wrong with it."""
    custom = SCHEMAS.get((made["apiVersion"], made["kind"]))
    if custom is not None:
        jsonschema.Draft202012Validator(custom).validate(made)
    else:
        kubernetes_validate.validate(made, version, strict=True)


VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def breaches(pod: Object) -> Iterator[str]:
    """What keeps a pod from the pod security standard "restricted"."""
    of_pod = pod.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
        if pod.get(field):
            yield field
    for volume in pod.get("volumes", []):
        if not volume.keys() - {"name"} <= VOLUMES:
            yield f"volume {volume['name']}"
    for container in containers(pod):
        own = container.get("securityContext", {})
        effective = {**of_pod, **own}
        capabilities = own.get("capabilities", {})
        for holds, what in (
            (not own.get("privileged"), "privileged"),
            (own.get("allowPrivilegeEscalation") is False, "allowPrivilegeEscalation"),
            (capabilities.get("drop") == ["ALL"], "capabilities.drop"),
            (set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}, "capabilities.add"),
            (effective.get("runAsNonRoot") is True, "runAsNonRoot"),
            (effective.get("runAsUser") != 0, "runAsUser"),
            (effective.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"), "seccompProfile"),
            (not any("hostPort" in port for port in container.get("ports", [])), "hostPort"),
        ):
            if not holds:
                yield f"{container['name']}: {what}"
