"""The state of a running gateway, of one process and of several workers: real processes, real requests."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crew import until
from tests.gateway_process import GatewayProcess, serving
from tests.services import free_port
from tests.world import AUDIENCE, ISSUER, mint, public_jwks

SECONDS = 60.0
REFUSED = 12
CANARIES = ("CANARY-PATH", "CANARY-SUB", "CANARY-QUERY", "127.0.0.1:1")


def configuration(workers: int) -> dict[str, Any]:
    return {
        "workers": workers,
        "issuers": {
            "corp": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks())},
            "down": {"issuer": "http://127.0.0.1:9", "audience": AUDIENCE, "keys": {"timeout": "1s"}},
        },
        "upstreams": {"nowhere": {"url": "http://127.0.0.1:9"}},
        "routes": [
            {"name": "own", "path": "/own/{x}", "respond": {"body": "hi"}, "require": {"scopes": ["s"]}},
            {"name": "gone", "path": "/gone", "upstream": "nowhere", "require": {"issuers": ["corp"]}},
        ],
    }


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GatewayProcess]:
    with serving(tmp_path, free_port(), free_port(), configuration(request.param)) as running:
        yield running


def told(gateway: GatewayProcess) -> dict[str, Any]:
    status, body = gateway.admin("/status.json")
    assert status == 200
    document: dict[str, Any] = json.loads(body)
    return document


def ask_around(gateway: GatewayProcess) -> None:
    """Requests that are refused, and one that is not; each on a connection of its own, so of any worker."""
    for number in range(REFUSED):
        assert gateway.ask(f"/own/CANARY-PATH{number}?q=CANARY-QUERY", mint(sub="CANARY-SUB", scope="x"))[0] == 403
    assert gateway.ask("/nothing/CANARY-PATH")[0] == 404
    assert gateway.ask("/own/1", mint(scope="s", sub="CANARY-SUB"))[0] == 200
    assert gateway.ask("/gone", mint())[0] == 502


def test_what_readyz_says_of_the_configuration_is_told_before_and_after_a_reload(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    before = told(gateway)["configuration"]
    assert before == {"taken_at": before["taken_at"], "state": "current"}
    assert "reload" not in gateway.admin("/status")[1]
    (tmp_path / f"gateway-{gateway.port}.yaml").write_text("routes: what")
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: told(gateway)["configuration"]["state"] == "refused")
    after = told(gateway)["configuration"]
    assert after == {"taken_at": before["taken_at"], **json.loads(gateway.admin("/readyz")[1])["configuration"]}
    assert "The last reload was refused" in gateway.admin("/status")[1]


def test_the_figures_of_all_are_told_together_and_nothing_of_a_client(gateway: GatewayProcess) -> None:
    ask_around(gateway)
    document = told(gateway)
    assert document["requests"]["total"] == REFUSED + 3
    assert document["requests"]["refused"] == REFUSED + 1
    assert {each["reason"]: each["count"] for each in document["refusals"]["counts"]} == {
        "scope_insufficient": REFUSED,
        "route_not_found": 1,
        "upstream_unreachable": 1,
    }
    recent = document["refusals"]["recent"]
    assert [each["reason"] for each in recent] == (
        ["upstream_unreachable", "route_not_found", *["scope_insufficient"] * REFUSED]
    )
    assert len({each["request_id"] for each in recent}) == REFUSED + 2
    assert recent[0]["route"] == "gone"
    assert all(set(each) == {"at", "route", "reason", "status", "request_id"} for each in recent)
    assert abs(recent[0]["at"] - time.time()) < SECONDS
    assert [(each["name"], each["state"], each["keys"]) for each in document["issuers"]] == [
        ("corp", "ready", "inline"),
        ("down", "waiting", "discovery"),
    ]
    assert [(each["name"], each["requests"], each["refused"]) for each in document["routes"]] == [
        ("own", REFUSED + 1, REFUSED),
        ("gone", 1, 0),
    ]
    assert [each["name"] for each in document["caches"]] == ["token", "introspection"]
    assert document["ready"] is False
    page = gateway.admin("/status")[1]
    assert "scope_insufficient" in page
    assert "The keys of issuer down were never had." in page
    for text in (page, json.dumps(document)):
        assert not [canary for canary in CANARIES if canary in text]


def test_refusals_of_a_worker_outlive_it(tmp_path: Path) -> None:
    with serving(tmp_path, free_port(), free_port(), configuration(2)) as gateway:
        ask_around(gateway)
        before = told(gateway)["refusals"]["recent"]
        assert len(before) == REFUSED + 2
        pids = [int(pid) for pid in re.findall(r"worker \d started as process (\d+)", gateway.log)]
        assert len(pids) == 2
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + SECONDS
        while (workers := told(gateway)["workers"])["restarts"] < 2 or workers["serving"] < 2:
            assert time.monotonic() < deadline, workers
            time.sleep(0.1)
        assert told(gateway)["refusals"]["recent"] == before
        assert workers["count"] == 2
        assert set(workers["states"]) == {"0", "1"}
