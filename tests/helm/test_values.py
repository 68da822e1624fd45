"""Wrong values are refused before anything is rendered, in words that say which and why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.config import schema
from tests.helm.rendering import CHART, ROOT, refusal, render

FILE = "routes: [{path: /x, public: true, respond: {}}]\n"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "proxi"}, "at '/mode': value must be one of 'proxy', 'sidecar'"),
        ({"replicaCount": "two"}, "at '/replicaCount': got string, want integer"),
        ({"replicaCount": -1}, "at '/replicaCount': minimum: got -1, want 0"),
        ({"replicaCuont": 1}, "additional properties 'replicaCuont' not allowed"),
        ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy': value must be one of"),
        ({"image": {"digest": "sha256:1"}}, "at '/image/digest'"),
        ({"service": {"port": 0}}, "at '/service/port': minimum: got 0, want 1"),
        ({"service": {"type": "Internal"}}, "at '/service/type': value must be one of 'ClusterIP'"),
        ({"env": [{"value": "x"}]}, "at '/env/0': missing property 'name'"),
        ({"ingress": {"enabled": True}}, "at '/ingress/hosts': minItems: got 0, want 1"),
        ({"httpRoute": {"enabled": True}}, "at '/httpRoute/parentRefs': minItems: got 0, want 1"),
        ({"podDisruptionBudget": {"minAvailable": "half"}}, "at '/podDisruptionBudget/minAvailable'"),
        ({"extraVolumes": [{"emptyDir": {}}]}, "at '/extraVolumes/0': missing property 'name'"),
        ({"sidecar": {"name": "a-name-too-long"}}, "at '/sidecar/name'"),
        ({"serviceMonitor": {"interval": "often"}}, "at '/serviceMonitor/interval'"),
        ({"podAnnotations": {"a": 1}}, "at '/podAnnotations/a': got number, want string"),
        # the gateway's own schema
        ({"config": {"log": {"level": "loud"}}}, "at '/config/log/level': value must be one of 'debug'"),
        ({"config": {"lissten": "x"}}, "additional properties 'lissten' not allowed"),
        ({"config": {"routes": [{"pth": "/x"}]}}, "at '/config/routes/0': missing property 'path'"),
        ({"config": {"timeouts": {"drain": "soon"}}}, "at '/config/timeouts/drain'"),
        (
            {"config": {"issuers": {"a": {"issuer": "https://a"}}}},
            "at '/config/issuers/a': missing property 'audience'",
        ),
    ],
)
def test_a_wrong_value_is_named_by_the_schema(values: dict[str, Any], message: str) -> None:
    said = refusal(values)
    assert "values don't meet the specifications of the schema" in said
    assert message in said


SECRET = "hunter2-hunter2"
ISSUER = {"issuer": "https://a.example", "audience": "a"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"config": {"admin": {"token": SECRET}}}, "config.admin.token is written in the values"),
        ({"config": {"redis": {"url": "redis://r", "secret": SECRET}}}, "config.redis.secret"),
        ({"config": {"redis": {"url": "redis://r", "secret": ["${A}", SECRET]}}}, "config.redis.secret 1"),
        ({"config": {"redis": {"url": f"redis://:{SECRET}@r"}}}, "config.redis.url: its password"),
        ({"config": {"issuers": {"a": {**ISSUER, "secret": SECRET}}}}, "config.issuers.a.secret"),
        (
            {"config": {"issuers": {"a": {**ISSUER, "introspection": {"client_secret": SECRET}}}}},
            "config.issuers.a.introspection.client_secret",
        ),
        ({"env": [{"name": "ADMIN_TOKEN", "value": SECRET}]}, "env ADMIN_TOKEN: its value is written in the values"),
        ({"configFile": f"{FILE}admin: {{token: {SECRET}}}\n"}, "config.admin.token"),
    ],
)
def test_a_secret_in_the_values_is_refused_and_not_repeated(values: dict[str, Any], message: str) -> None:
    said = refusal(values)
    assert message in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"config": {"admin": {"listen": "127.0.0.1:9090"}}}, "config.admin.listen is loopback"),
        ({"config": {"admin": {"listen": "[::1]:9090"}}}, "config.admin.listen is loopback"),
        ({"config": {"admin": {"listen": "unix:/run/a.sock"}}}, "config.admin.listen must be an address with a port"),
        ({"config": {"listen": "unix:/run/a.sock"}}, "config.listen must be an address with a port"),
        ({"config": {"listen": "0.0.0.0:${PORT}"}}, "config.listen must be an address with a port"),
        ({"config": {"listen": "0.0.0.0:0"}}, "must name a port, not 0"),
        ({"config": {"listen": "0.0.0.0:9090"}}, "another port than config.listen"),
        ({"terminationGracePeriodSeconds": 34}, "is 34, and draining takes 35"),
        ({"config": {"timeouts": {"drain": "${DRAIN}"}}}, "config.timeouts.drain must be a duration"),
        ({"configFile": FILE, "existingConfigMap": "mine"}, "exclude each other"),
        ({"configFile": "a: [", "config": {}}, "configFile is no YAML"),
        ({"configFile": FILE, "config": {"listen": ["0.0.0.0:8080"]}}, "config.listen must be one address"),
        ({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "scraped twice"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, Any], message: str) -> None:
    assert message in refusal(values)


@pytest.mark.parametrize(
    "values",
    [
        {"config": {"admin": {"token": "${file:/run/secrets/oauth-gateway/token}"}}},
        {"config": {"redis": {"url": "redis://:${PASSWORD}@r", "secret": ["${A}", "${B}"]}}},
        {"env": [{"name": "ADMIN_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        {"env": [{"name": "TOKEN_URL", "value": "https://a.example"}]},
        {"global": {"anything": 1}, "enabled": True},
        {
            "config": {"redis": None},
            "mode": "sidecar",
            "serviceMonitor": {"enabled": True},
            "podMonitor": {"enabled": True},
        },
    ],
)
def test_references_and_what_other_charts_add_are_fine(values: dict[str, Any]) -> None:
    assert render(values)


def test_the_defaults_and_every_file_for_an_issuer_fit_the_schema() -> None:
    document = json.loads((CHART / "values.schema.json").read_text())
    validator = jsonschema.Draft7Validator(document)
    validator.check_schema(document)
    validator.validate(yaml.safe_load((CHART / "values.yaml").read_text()))
    for file in [*ROOT.glob("config/*.yaml"), *ROOT.glob("config/issuers/*.yaml")]:
        validator.validate({"config": yaml.safe_load(file.read_text())})


def test_every_file_for_an_issuer_can_be_given_whole() -> None:
    for file in ROOT.glob("config/issuers/*.yaml"):
        assert render({"configFile": file.read_text()})


def test_the_schema_knows_every_value_and_no_other() -> None:
    document = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(document["properties"]) == {*values, "global"}
    for name, block in document["properties"].items():
        if block.get("additionalProperties") is False and isinstance(values.get(name), dict):
            assert set(block["properties"]) >= set(values[name])


def test_what_is_made_from_other_files_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts/chart_files.py"), "check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    definition = json.loads((CHART / "values.schema.json").read_text())["$defs"]["Config"]
    assert definition["properties"].keys() == schema()["properties"].keys()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("values.yaml", "replicaCount: 2", "replicaCount: 3"),
        ("values.yaml", "# -- instead of the chart's name", "# -- something else"),
        ("values.schema.json", '"Redis": {', '"Redsi": {'),
    ],
)
def test_what_is_out_of_date_is_named_and_brought_up(name: str, old: str, new: str, tmp_path: Path) -> None:
    for source in (*CHART.glob("*.yaml"), *CHART.glob("*.json"), CHART / "README.md"):
        target = tmp_path / "helm/oauth-gateway" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text())
    script = tmp_path / "scripts/chart_files.py"
    script.parent.mkdir()
    script.write_text((ROOT / "scripts/chart_files.py").read_text())
    changed = tmp_path / "helm/oauth-gateway" / name
    text = changed.read_text()
    assert old in text
    changed.write_text(text.replace(old, new))

    def run(what: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), what]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)

    assert (run("check").returncode, "is not up to date" in run("check").stdout) == (1, True)
    assert run("write").returncode == 0
    assert (run("check").returncode, run("check").stdout) == (0, "")
