"""`oauth-gateway test` as a process: its lines, its exit status, and the example of the repository."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.test_commands import run
from tests.documents import ROOT

CONFIGURATION = """\
issuers:
  corp: {issuer: "https://login.example.com", audience: orders-api}
upstreams: {orders: {url: "http://127.0.0.1:9"}}
routes:
  - name: read
    path: /orders/{tenant}
    methods: [GET]
    upstream: orders
    require:
      scopes: [orders:read]
  - {name: write, path: "/orders/{tenant}", methods: [POST], upstream: orders, require: {scopes: [orders:write]}}
"""
# The promise of the command line's documentation, word for word.
TESTS = """\
tests:
  - name: a reader may not write
    request: {method: POST, url: /orders/t1, headers: {}}
    token: {issuer: corp, claims: {sub: u1, scope: "orders:read", tenant: t1}}
    expect: {status: 403, reason: scope_insufficient}
"""
FAILING = """\
tests:
  - name: "a writer\\tmay read"
    request: {url: /orders/t1}
    token: {issuer: corp, claims: {scope: "orders:write"}}
    expect: {allow: true}
  - name: a token lasts
    request: {url: /orders/t1}
    token: {issuer: corp, claims: {exp: 1}}
    expect: {allow: true}
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    written = {"gateway": CONFIGURATION, "good": TESTS, "failing": FAILING, "broken": "tests: [{nme: x}]\n"}
    for name, text in written.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return {name: str(tmp_path / f"{name}.yaml") for name in written}


def test_tests_that_pass_are_counted(files: dict[str, str]) -> None:
    told = run("test", files["good"], "-c", files["gateway"])
    assert (told.returncode, told.stdout, told.stderr) == (0, "1 passed, 0 failed\n", "")
    told = run("test", files["good"], "-v", OAUTH_GATEWAY_CONFIG=files["gateway"])
    assert told.stdout.splitlines() == [f"{files['good']}:2: a reader may not write: passed", "1 passed, 0 failed"]


def test_each_test_that_fails_has_one_line_with_the_line_of_the_configuration(files: dict[str, str]) -> None:
    told = run("test", files["good"], files["failing"], "-c", files["gateway"])
    assert told.returncode == 1
    first, second, counts = told.stdout.splitlines()
    assert first == (
        f"{files['failing']}:2: a writer\ufffdmay read: expected allowed, got 403 scope_insufficient: "
        f"the token lacks orders:read ({files['gateway']}:10)"
    )
    assert second.startswith(f"{files['failing']}:6: a token lasts: expected allowed, got 401 token_expired: exp was ")
    assert second.endswith(f" ({files['gateway']}:2)")
    assert counts == "1 passed, 2 failed"


def test_the_steps_of_a_failure_are_told_on_request(files: dict[str, str]) -> None:
    lines = run("test", "--verbose", files["failing"], "-c", files["gateway"]).stdout.splitlines()
    where = f"({files['gateway']}:10)"
    assert f"    NO  scopes      scope_insufficient: the token lacks orders:read  {where}" in lines
    assert "    => refused: 401 token_expired" in lines


def test_results_are_written_for_build_servers(files: dict[str, str], tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    told = run("test", files["good"], files["failing"], "-c", files["gateway"], "--junit", str(report))
    assert told.returncode == 1
    root = ElementTree.fromstring(report.read_bytes())
    assert [(each.get("name"), each.get("failures")) for each in root] == [
        (files["good"], "0"),
        (files["failing"], "2"),
    ]
    unwritable = run("test", files["good"], "-c", files["gateway"], "--junit", str(tmp_path / "absent/report.xml"))
    assert unwritable.returncode == 2
    assert "report.xml: can't be written: No such file or directory" in unwritable.stderr


def test_what_can_not_be_used_is_2_and_runs_nothing(files: dict[str, str]) -> None:
    broken = run("test", files["broken"], "/absent.yaml", files["good"], "-c", files["gateway"])
    assert (broken.returncode, broken.stdout) == (2, "")
    assert f"{files['broken']}:1:10: tests[0].nme: there is no such key; did you mean name?" in broken.stderr
    assert "/absent.yaml: there is no such file" in broken.stderr
    assert run("test", files["good"], "-c", files["broken"]).returncode == 2
    assert run("test", files["good"], "-c", "/absent.yaml").returncode == 2
    assert run("test", "-c", files["gateway"]).returncode == 2


def test_the_example_holds_for_the_full_configuration() -> None:
    told = run("test", str(ROOT / "config/policy-tests/full.yaml"), "-c", str(ROOT / "config/full.yaml"))
    assert (told.returncode, told.stdout) == (0, "12 passed, 0 failed\n")
