"""A configuration that changes while real processes run: what makes it be read again, and what clients see of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crew import Upstream
from tests.reloading import asked, reloading
from tests.world import mint

WORKERS = pytest.mark.parametrize("workers", [1, 2])


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


def requires(scope: str | None) -> Any:
    """A change of the route that needs a token."""
    return lambda config: config["routes"][0].update(require={"scopes": [scope]} if scope else {})


# --- what is decided after it ------------------------------------------------------------------------------------


@WORKERS
def test_the_next_request_on_an_open_connection_is_decided_by_the_new_rules(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    with reloading(tmp_path, upstream.url, workers) as r:
        connections = r.connections()
        sockets = [connection.sock for connection in connections]
        token = mint(scope="orders:read")
        for scope, status in (("orders:write", 403), ("orders:read", 200), ("orders:write", 403), (None, 200)):
            # Known fields, a known token, and an upstream connection at rest: the way without a coroutine.
            for _ in range(3):
                assert {asked(connection, token=token) for connection in connections} <= {200, 403}
            r.write(requires(scope))
            r.sighup()
            assert [asked(connection, token=token) for connection in connections] == [status] * workers
        assert [connection.sock for connection in connections] == sockets
