"""Reloads while requests come in at a steady rate: none of them may fail."""

from __future__ import annotations

import copy
import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from tests.paced_load import PacedLoad, constant_upstream
from tests.reloading import RELOADED, Reloading, reloading
from tests.world import mint

RATE = 2000
SECONDS = 20
"""What is promised: this many requests a second, for so long. A machine that is busy with other things gets fewer."""


def changes(upstream: str) -> Any:
    """One change after the other, each of which replaces another part; requests are allowed under all of them."""
    yield lambda config: config["upstreams"]["orders"].update(timeouts={"connect": "5s"})
    yield lambda config: config["issuers"]["corp"].update(leeway="40s")
    yield lambda config: config["routes"][0].update(require={"scopes": ["orders:read"]})
    yield lambda config: config.update(limits={"token": "8KiB"}, timeouts={"idle": "60s"})
    yield lambda config: config["issuers"].update(other={**config["issuers"]["corp"], "issuer": "https://b.example"})
    more = {"name": "more", "path": "/more", "upstream": "more", "public": True}
    yield lambda config: config.update(
        upstreams={**config["upstreams"], "more": {"url": upstream, "health": {"path": "/"}}},
        routes=[*config["routes"], more],
    )


def reload_again_and_again(r: Reloading, upstream: str, seconds: float) -> int:
    """Change the file and wait until that is seen, or send the signal; in turn. How many reloads there were."""
    before, until = r.count(RELOADED), time.monotonic() + seconds
    for number, change in enumerate(itertools.cycle(changes(upstream))):
        if time.monotonic() > until:
            return r.count(RELOADED) - before
        original = copy.deepcopy(r.config)
        if number % 3 == 0:
            with r.expecting():
                r.write(change)
        else:
            r.write(change)
            r.sighup()
        time.sleep(0.3)
        r.config = original
    return 0


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_fails_while_the_configuration_is_reloaded(tmp_path: Path, workers: int) -> None:
    token = mint(scope="orders:read")
    heads = [
        f"GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n".encode()
        for path, field in (
            *((f"/orders/{number}", f"Authorization: Bearer {token}\r\n") for number in range(7)),
            ("/open/x", ""),
        )
    ]
    with constant_upstream() as upstream, reloading(tmp_path, upstream, workers, log={"access": False}) as r:
        with PacedLoad(r.gateway.port, heads, rate=RATE) as load:
            reloads = reload_again_and_again(r, upstream, SECONDS)
        counted = r.gateway.metric("gateway_requests_total")
    print(f"{load.outcomes['200'] / load.seconds:.0f} requests/s, {reloads} reloads, slowest {load.slowest:.3f} s")
    assert load.failures == {}
    assert load.outcomes["200"] >= RATE * SECONDS / 20
    assert reloads >= 5
    assert counted == load.outcomes["200"]
