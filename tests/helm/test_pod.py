"""What the chart renders, run as a kubelet does: the ConfigMap mounted, the probes asked, the pod told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_process import START_SECONDS, GatewayProcess
from tests.helm.rendering import Object, gateway_container, one, pod_templates, render
from tests.services import free_port

CONFIG: dict[str, Any] = {
    "timeouts": {"drain_delay": "8s", "drain": "2s"},
    "routes": [{"path": "/hello", "public": True, "respond": {"status": 204}}],
}
FILE = "# mine\nroutes: [{path: /hello, public: true, respond: {status: 204}}]\n"


def mount(configmap: Object, folder: Path) -> None:
    """The files of a ConfigMap as the kubelet lays them: behind links, so that all of them change at once."""
    data = folder / "..2026_11_26"
    data.mkdir(parents=True)
    (folder / "..data").symlink_to(data.name)
    for name, text in configmap["data"].items():
        (data / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")


def start(made: list[Object], folder: Path) -> GatewayProcess:
    """The container's process, on loopback and free ports instead of the pod's own."""
    ((_, pod),) = [found for found in pod_templates(made) if "volumes" in found[1]]
    mount(one(made, "ConfigMap"), folder / "config")
    port, admin_port, log_path = free_port(), free_port(), folder / "log"
    environ = {variable["name"]: variable["value"] for variable in gateway_container(pod).get("env", [])}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                **environ,
                "OAUTH_GATEWAY_CONFIG": str(folder / "config"),
                "OAUTH_GATEWAY__LISTEN": f"127.0.0.1:{port}",
                "OAUTH_GATEWAY__ADMIN__LISTEN": f"127.0.0.1:{admin_port}",
            },
        )
    return GatewayProcess(port, admin_port, process, log_path)


@pytest.mark.parametrize(
    "values", [{"config": CONFIG}, {"configFile": FILE, "config": CONFIG}], ids=["inline", "a file"]
)
def test_the_pod_answers_its_probes_and_drains_in_the_time_it_is_given(values: dict[str, Any], tmp_path: Path) -> None:
    made = render(values)
    ((_, pod),) = [found for found in pod_templates(made) if "volumes" in found[1]]
    gateway = start(made, tmp_path)
    try:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            gateway.until(gateway_container(pod)[probe]["httpGet"]["path"], 200)
        assert gateway.ask("/hello")[0] == 204
        told_at = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        gateway.until("/readyz", 503)
        # Load balancers may not have heard of it yet.
        assert gateway.ask("/hello")[0] == 204
        assert gateway.admin("/livez")[0] == 200
        assert gateway.process.wait(timeout=8 + START_SECONDS) == 0, gateway.log
        assert time.monotonic() - told_at >= 8
        assert pod["terminationGracePeriodSeconds"] == 20
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()
