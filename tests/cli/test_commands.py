"""The command line as users meet it: real processes, their output and their exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from gateway import __version__
from tests.gateway_process import serving
from tests.services import free_port
from tests.world import AUDIENCE, ISSUER, mint, public_jwks

BAD = """\
issuers: {corp: {issuer: https://login.example.com}}
routes: [{path: /a, upstream: nowhere}]
"""


def run(*arguments: str, text: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, input=text, env={**os.environ, **environ}, check=False
    )


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    (tmp_path / "jwks.json").write_text(public_jwks())
    file = tmp_path / "gateway.yaml"
    file.write_text(f"""\
issuers:
  corp: {{issuer: "{ISSUER}", audience: {AUDIENCE}, jwks_file: {tmp_path}/jwks.json}}
upstreams: {{orders: {{url: "http://127.0.0.1:9/base"}}}}
routes:
  - name: read
    path: /orders/{{tenant}}
    methods: [GET]
    upstream: orders
    require:
      scopes: [orders:read]
""")
    return file


def test_version_and_help_say_what_there_is() -> None:
    assert run("version").stdout == f"oauth-gateway {__version__}\n"
    shown = run("--help").stdout
    for name in ("serve", "check", "explain", "schema", "health", "demo", "version"):
        assert f"\n  {name} " in shown
        assert run(name, "--help").returncode == 0
    assert run("nonsense").returncode == 2


def test_check_prints_every_problem_and_starts_nothing(tmp_path: Path, configuration: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD)
    refused = run("check", "-c", str(bad))
    assert refused.returncode == 1
    assert refused.stdout.splitlines() == [
        f"{bad}:1:17: issuers.corp.audience: is missing",
        f"{bad}:2:31: routes[0].upstream: there is no upstream nowhere",
    ]
    assert run("check", "-c", str(configuration)).returncode == 0
    unreadable = run("check", "-c", str(tmp_path / "absent.yaml"))
    assert (unreadable.returncode, unreadable.stdout) == (2, "")
    assert "there is no such file" in unreadable.stderr


def test_check_online_asks_issuers_and_upstreams(tmp_path: Path) -> None:
    with serving(
        tmp_path, free_port(), free_port(), {"routes": [{"path": "/x", "public": True, "respond": {}}]}
    ) as there:
        file = tmp_path / "online.yaml"
        file.write_text(f"""\
issuers:
  gone: {{issuer: "http://127.0.0.1:9", audience: a, keys: {{timeout: 1s}}}}
upstreams:
  there: {{url: "{there.origin}"}}
  nowhere: {{url: "http://127.0.0.1:9"}}
routes:
  - {{path: /x, upstream: there}}
""")
        assert run("check", "-c", str(file)).returncode == 0
        told = run("check", "--online", "-c", str(file))
    assert told.returncode == 1
    assert told.stdout.splitlines() == [
        f"{file}:2:9: issuers.gone: its keys can't be had: unreachable",
        f"{file}:5:12: upstreams.nowhere: takes no connection: ConnectionRefusedError",
    ]


def test_serve_refuses_a_bad_configuration_with_every_problem(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD)
    refused = run("serve", OAUTH_GATEWAY_CONFIG=str(bad))
    assert refused.returncode == 2
    assert "audience: is missing" in refused.stderr
    assert "no upstream nowhere" in refused.stderr
    assert "2 problems; nothing was started" in refused.stderr


def test_schema_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(run("schema").stdout))


def test_explain_tells_step_by_step_and_says_it_by_its_exit_status(tmp_path: Path, configuration: Path) -> None:
    token = mint(scope="orders:read")
    (tmp_path / "token").write_text(token + "\n")
    allowed = run("explain", "GET", "/orders/t1?x=%2F", "-t", f"@{tmp_path}/token", "-c", str(configuration))
    assert allowed.returncode == 0, allowed.stderr
    steps = [line.split()[1] for line in allowed.stdout.splitlines() if line.startswith("ok ")]
    assert steps == ["target", "route", "credential", "issuer", "key", "token", "revocation", "scopes"]
    assert f"({configuration}:10)" in allowed.stdout
    assert "upstream gets: GET /base/orders/t1?x=%2F" in allowed.stdout
    assert "X-Auth-Subject: u1" in allowed.stdout
    assert token not in allowed.stdout
    refused = run("explain", "GET", "/orders/t1", "-t", "-", "-c", str(configuration), text=mint(scope="x"))
    assert refused.returncode == 1
    assert "NO  scopes      scope_insufficient: the token lacks orders:read" in refused.stdout
    assert refused.stdout.endswith("=> refused: 403 scope_insufficient\n")


def test_explain_speaks_json_too(configuration: Path) -> None:
    told = run("explain", "POST", "https://api.example.com/orders/t1", "--json", "-c", str(configuration))
    document = json.loads(told.stdout)
    assert (document["allowed"], document["status"], document["reason"]) == (False, 405, "method_not_allowed")
    assert document["upstream_request"] is None
    assert [step["ok"] for step in document["steps"]] == [True, False]
    good = run("explain", "GET", "/orders/t1", "-t", mint(scope="orders:read"), "--json", "-c", str(configuration))
    sent = json.loads(good.stdout)["upstream_request"]
    assert (sent["method"], sent["target"]) == ("GET", "/base/orders/t1")
    assert sent["headers"]["X-Auth-Scopes"] == "orders:read"


def test_explain_shows_no_credential_and_takes_the_host_from_the_external_url(configuration: Path) -> None:
    text = configuration.read_text().replace(
        "    path:", "    authorization: keep\n    host: api.example.com\n    path:"
    )
    configuration.write_text(f"external_url: https://api.example.com\n{text}")
    token = mint(scope="orders:read")
    told = run("explain", "GET", "/orders/t1", "-t", token, "-H", "Cookie: secret=1", "-c", str(configuration))
    assert told.returncode == 0, told.stdout
    assert "Authorization: (not shown)" in told.stdout
    assert token not in told.stdout
    assert "secret=1" not in told.stdout


@pytest.mark.parametrize("url", ["/a b", "/%zz", "http://u@h/", "/ä", "//", "/a#b"])
def test_explain_takes_any_address(configuration: Path, url: str) -> None:
    told = run("explain", "GET", url, "-c", str(configuration))
    assert told.returncode == 1
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("option", [("-t", "@/proc/nowhere"), ("-H", "no colon"), ("-c", "/proc/nowhere")])
def test_explain_says_what_is_wrong_with_its_options(configuration: Path, option: tuple[str, str]) -> None:
    told = run("explain", "GET", "/", "-c", str(configuration), *option)
    assert told.returncode in (1, 2)
    assert told.stderr
    assert "Traceback" not in told.stderr


def test_a_served_gateway_is_healthy_logs_requests_and_ends_cleanly(tmp_path: Path) -> None:
    issuer = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks())}
    route = {"name": "hello", "path": "/hello", "respond": {"body": "hi"}, "require": {"scopes": ["s"]}}
    with serving(tmp_path, free_port(), free_port(), {"issuers": {"corp": issuer}, "routes": [route]}) as gateway:
        token = mint(scope="s")
        assert gateway.ask("/hello?secret=CANARY", token)[0] == 200
        assert gateway.ask("/hello")[0] == 401
        assert run("health", f"http://127.0.0.1:{gateway.admin_port}/readyz").returncode == 0
        assert run("health", f"127.0.0.1:{gateway.admin_port}").returncode == 0
        assert run("health", f"http://127.0.0.1:{free_port()}").returncode == 1
        assert run("health", "nonsense://").returncode == 1
        metrics = gateway.admin("/metrics")[1]
        assert 'gateway_requests_total{method="GET",route="hello",status="200"} 1.0' in metrics
        assert 'reason="token_missing"' in metrics
        assert gateway.admin("/healthz")[0] == gateway.admin("/livez")[0] == 200
        gateway.process.send_signal(signal.SIGHUP)
    lines = [json.loads(line) for line in gateway.log.splitlines() if '"request"' in line]
    assert [(line["status"], line["decision"], line["reason"], line["sub"]) for line in lines] == [
        (200, "allow", None, "u1"),
        (401, "refuse", "token_missing", None),
    ]
    for secret in (token, "CANARY"):
        assert secret not in gateway.log


def test_a_port_that_is_taken_is_named(tmp_path: Path, configuration: Path) -> None:
    port = free_port()
    text = f"listen: 127.0.0.1:{port}\nadmin: {{listen: '127.0.0.1:{port}'}}\n"
    configuration.write_text(text.replace(f"{port}'", f"{free_port()}'") + configuration.read_text())
    with serving(tmp_path, port, free_port(), {"routes": [{"path": "/x", "public": True, "respond": {}}]}):
        refused = run("serve", "-c", str(configuration))
    assert refused.returncode == 1
    assert f"127.0.0.1:{port}: Address already in use; another program listens there" in refused.stderr
