"""The gateway as an aiohttp application: alone, in tests of pytest-aiohttp, and below a prefix of a larger service."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer

from gateway.app import make_app
from gateway.config import ConfigError, parse
from tests.dialogue import request, statuses, talk
from tests.world import AUDIENCE, ISSUER, mint, public_jwks

Client = Callable[..., Awaitable[TestClient[Any, Any]]]


@pytest.fixture
async def api() -> AsyncIterator[TestServer]:
    async def echo(received: web.Request) -> web.Response:
        body = await received.read()
        return web.json_response(
            {"path": received.raw_path, "size": len(body), "subject": received.headers.get("X-Auth-Subject")}
        )

    async def talk_back(received: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(received)
        async for message in socket:
            await socket.send_str(f"{received.headers['X-Auth-Subject']} said {message.data}")
        return socket

    application = web.Application()
    application.router.add_get("/api/ws", talk_back)
    application.router.add_route("*", "/{tail:.*}", echo)
    server = TestServer(application)
    await server.start_server()
    yield server
    await server.close()


def configuration(api: TestServer) -> dict[str, Any]:
    return {
        "issuers": {"corp": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks())}},
        "upstreams": {"orders": {"url": f"http://127.0.0.1:{api.port}"}},
        "routes": [{"path": "/api/**", "upstream": "orders", "require": {"scopes": ["s"]}}],
    }


async def test_it_works_with_the_client_of_pytest_aiohttp(aiohttp_client: Client, api: TestServer) -> None:
    client = await aiohttp_client(make_app(configuration(api)))
    token = {"Authorization": f"Bearer {mint(scope='s')}"}
    async with client.post("/api/x?y=1", data=b"12345", headers=token) as answer:
        assert answer.status == 200
        assert await answer.json() == {"path": "/api/x?y=1", "size": 5, "subject": "u1"}
    async with client.get("/api/x") as answer:
        assert answer.status == 401
        assert answer.content_type == "application/problem+json"


async def test_it_can_be_made_from_a_file_a_mapping_or_a_configuration(api: TestServer, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(json.dumps(configuration(api)))
    for source in (tmp_path / "gateway.yaml", str(tmp_path), configuration(api), parse(configuration(api))):
        assert isinstance(make_app(source), web.Application)
    with pytest.raises(ConfigError):
        make_app({"routes": []})


async def test_alone_it_is_as_strict_as_a_served_gateway(aiohttp_server: Any, api: TestServer) -> None:
    server = await aiohttp_server(make_app(configuration(api)))
    address = (server.host, server.port)
    expectations = {
        b"GET /api/x HTTP/2.0\r\nHost: a\r\n\r\n": 505,
        b"GET /api/x HTTP/1.1\r\nHost: a\r\nX: CANARY\x01\r\n\r\n": 400,
        b"GET /api/x HTTP/1.1\r\nHost: a, b\r\n\r\n": 400,
        request("POST", "/api/x", "Expect: 100-continue", "Content-Length: 3"): 401,
        request("GET", "/api/../x"): 400,
        request("GET", "/api/" + "a" * 9000): 414,
    }
    for sent, status in expectations.items():
        answer = await talk(address, sent)
        assert statuses(answer.raw) == [status]
        assert b"CANARY" not in answer.raw


async def test_below_a_prefix_of_a_larger_service_it_answers_for_its_part(
    aiohttp_client: Client, api: TestServer
) -> None:
    async def own(_: web.Request) -> web.Response:
        return web.Response(text="own")

    service = web.Application()
    service.router.add_get("/own", own)
    service.add_subapp("/api", make_app(configuration(api)))
    client = await aiohttp_client(service)
    token = {"Authorization": f"Bearer {mint(scope='s')}"}
    async with client.get("/own") as answer:
        assert await answer.text() == "own"
    async with client.get("/api/x") as answer:
        assert answer.status == 401
    async with client.post("/api/x", data=b"x" * 100_000, headers=token) as answer:
        assert await answer.json() == {"path": "/api/x", "size": 100_000, "subject": "u1"}
    packed = {**token, "Content-Encoding": "gzip"}
    async with client.post("/api/x", data=gzip.compress(b"x"), headers=packed) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (501, "not_implemented")
    assert client.port is not None
    waiting = request("POST", "/api/x", "Expect: 100-continue", "Content-Length: 3")
    assert statuses((await talk((client.host, client.port), waiting)).raw) == [401]


@pytest.mark.parametrize("is_embedded", [False, True])
async def test_it_relays_websockets_and_closes_them_when_it_stops(
    aiohttp_client: Client, api: TestServer, is_embedded: bool
) -> None:
    application = make_app(configuration(api))
    if is_embedded:
        service = web.Application()
        service.add_subapp("/api", application)
        application = service
    client = await aiohttp_client(application)
    with pytest.raises(WSServerHandshakeError) as refusal:
        await client.ws_connect("/api/ws")
    assert refusal.value.status == 401
    token = {"Authorization": f"Bearer {mint(scope='s')}"}
    async with client.ws_connect("/api/ws", headers=token) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=10) == "u1 said hello"
    async with client.ws_connect("/api/ws", headers=token) as socket:
        stopping = asyncio.create_task(client.server.close())
        message = await socket.receive(timeout=10)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
        await asyncio.wait_for(stopping, 10)


async def test_it_fetches_keys_while_it_runs_and_stops_with_the_application(api: TestServer) -> None:
    config = configuration(api)
    config["issuers"]["corp"] = {"issuer": f"http://127.0.0.1:{api.port}", "audience": AUDIENCE}
    before = len(asyncio.all_tasks())
    server = TestServer(make_app(config))
    await server.start_server()
    assert len(asyncio.all_tasks()) > before
    await server.close()
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) == before
