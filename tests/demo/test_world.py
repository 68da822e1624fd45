"""The demo's world: everything listens, and the file beside it is the configuration that runs."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp
import pytest

from gateway.config import load
from gateway.demo.scenarios import SCENARIOS
from gateway.demo.world import ADMIN_TOKEN, World, running


async def test_the_written_configuration_is_the_running_one_with_the_ports_that_became_of_0(world: World) -> None:
    config = load(world.configuration, {})
    assert [f"http://{address}" for address in config.listen] == [world.origin]
    assert f"http://{config.admin.listen}" == world.admin_origin
    assert config.issuers["demo"].issuer == world.issuer
    assert ":0" not in world.configuration.read_text()


async def test_operators_reach_it_with_the_token_of_the_demo(world: World) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{world.admin_origin}/api/revocations"
        async with session.get(url) as answer:
            assert answer.status == 401
        async with session.get(url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}) as answer:
            assert await answer.json() == {"revocations": []}
        async with session.get(f"{world.admin_origin}/readyz") as answer:
            assert answer.status == 200


async def test_it_explains_what_it_decides_about_the_token_of_a_scenario(world: World) -> None:
    for scenario in SCENARIOS:
        url = f"{world.origin}{scenario.path}"
        explanation = await world.explain(scenario.method, url, world.token_of(scenario))
        assert explanation.allowed == (scenario.status < 300), scenario.title


async def test_a_copy_of_a_token_ends_when_it_is_told_to_and_is_the_same_otherwise(world: World) -> None:
    token = world.tokens["GOOD"]
    known = world.server.tokens.find(token)
    copy = world.server.tokens.find(world.shortened(token, 1_900_000_000))
    assert known is not None
    assert copy is not None
    assert copy.claims["exp"] == 1_900_000_000
    assert copy.authorization is known.authorization
    differing = {name for name in known.claims if known.claims[name] != copy.claims[name]}
    assert differing <= {"exp", "jti", "iat"}


async def test_a_taken_port_is_an_error_and_nothing_goes_on_listening(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="Address already in use"):
        async with running(other.getsockname()[1], tmp_path):
            pass
    with pytest.raises(OSError, match=r"refused|reset"):
        await _connect_to_issuer(tmp_path)


async def _connect_to_issuer(folder: Path) -> None:
    issuer = load(folder / "gateway.yaml", {}).issuers["demo"].issuer
    with socket.create_connection(("127.0.0.1", int(issuer.rpartition(":")[2])), timeout=5):
        pass
