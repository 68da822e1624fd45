"""A server with what it knows by default, a clock that tests move, and a visitor with cookies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.devauth import defaults
from gateway.devauth.server import DevelopmentServer
from tests.devauth.visitor import Clock, Visitor


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server(clock: Clock) -> AsyncIterator[DevelopmentServer]:
    # ES256, since a key for it takes no time to make.
    running = DevelopmentServer(defaults.CLIENTS, "ES256", users=defaults.USERS, clock=clock)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    # `unsafe`: cookies of an address, not of a name.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as opened:
        yield opened


@pytest.fixture
def visitor(server: DevelopmentServer, session: aiohttp.ClientSession) -> Visitor:
    return Visitor(server.issuer, session)
