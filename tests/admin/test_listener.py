"""The admin listener, over real connections."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp.plugin import AiohttpClient

from gateway.admin.listener import Health, make_admin_app
from gateway.admin.metrics import Metrics

Admin = TestClient[web.Request, web.Application]
Keys = dict[str, float | None]


@pytest.fixture
def keys() -> Keys:
    return {"corp": 1_800_000_000.0, "partner": 1_800_000_000.0}


@pytest.fixture
def health(keys: Keys) -> Health:
    return Health(lambda: keys)


@pytest.fixture
async def admin(aiohttp_client: AiohttpClient, health: Health) -> Admin:
    return await aiohttp_client(make_admin_app(health, no_figures))


async def no_figures() -> bytes:
    return Metrics().render()


async def statuses(admin: Admin) -> dict[str, int]:
    found = {}
    for path in ("/livez", "/startupz", "/readyz", "/healthz"):
        async with admin.get(path) as response:
            found[path] = response.status
    return found


async def test_while_starting_only_livez_is_well(admin: Admin) -> None:
    assert await statuses(admin) == {"/livez": 200, "/startupz": 503, "/readyz": 503, "/healthz": 503}


async def test_a_started_gateway_with_keys_is_ready(admin: Admin, health: Health) -> None:
    health.started = True
    assert await statuses(admin) == {"/livez": 200, "/startupz": 200, "/readyz": 200, "/healthz": 200}
    async with admin.get("/readyz") as response:
        assert await response.json() == {
            "ready": True,
            "started": True,
            "draining": False,
            "issuers": {"corp": "ready", "partner": "ready"},
        }


async def test_a_draining_gateway_is_alive_but_not_ready(admin: Admin, health: Health) -> None:
    health.started = health.draining = True
    assert await statuses(admin) == {"/livez": 200, "/startupz": 200, "/readyz": 503, "/healthz": 503}
    async with admin.get("/readyz") as response:
        report = await response.json()
    assert (report["ready"], report["draining"]) == (False, True)


async def test_an_issuer_that_never_answered_is_named(
    admin: Admin,
    health: Health,
    keys: Keys,
) -> None:
    health.started = True
    keys["partner"] = None
    async with admin.get("/readyz") as response:
        assert response.status == 503
        assert (await response.json())["issuers"] == {"corp": "ready", "partner": "waiting"}
    keys["partner"] = 1_800_000_001.0
    assert (await statuses(admin))["/readyz"] == 200


async def test_a_gateway_without_issuers_is_ready(aiohttp_client: AiohttpClient) -> None:
    health = Health(dict)
    health.started = True
    admin = await aiohttp_client(make_admin_app(health, no_figures))
    async with admin.get("/readyz") as response:
        assert response.status == 200


async def test_metrics_are_prometheus_text(admin: Admin) -> None:
    async with admin.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        names = {family.name for family in text_string_to_metric_families(await response.text())}
    assert "gateway_build_info" in names


@pytest.mark.parametrize("path", ["/livez", "/metrics"])
async def test_head_has_the_fields_of_get_and_no_body(admin: Admin, path: str) -> None:
    async with admin.head(path) as response:
        assert response.status == 200
        assert await response.read() == b""


@pytest.mark.parametrize("path", ["/", "/metrics/", "/status", "/api/reload", "/livez/x", "/<script>"])
async def test_other_paths_are_a_plain_404_that_repeats_nothing(
    admin: Admin,
    path: str,
) -> None:
    async with admin.get(path) as response:
        assert response.status == 404
        assert response.content_type == "text/plain"
        assert await response.text() == "not found\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_only_get_and_head_are_answered(admin: Admin, method: str) -> None:
    async with admin.request(method, "/readyz") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert await response.text() == "method not allowed\n"


@pytest.mark.parametrize("path", ["/livez", "/startupz", "/readyz", "/metrics", "/nothing"])
async def test_no_answer_may_be_stored(admin: Admin, path: str) -> None:
    async with admin.get(path) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Server"] == "oauth-gateway"


async def sent_back(admin: Admin, request: bytes) -> str:
    """Everything the listener sends until it closes the connection."""
    reader, writer = await asyncio.open_connection(admin.host, admin.port)
    try:
        writer.write(request)
        return (await asyncio.wait_for(reader.read(), 10)).decode("latin-1")
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /livez HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer canary\x01\r\n\r\n",
        b"GET /canary\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G@T /canary HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\ncanary\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"canary" * 10_000 + b"\r\n\r\n",
        b"\x16\x03\x01canary\r\n\r\n",
    ],
)
async def test_malformed_bytes_are_refused_and_never_sent_back(
    admin: Admin, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await sent_back(admin, request_)
    assert answer.startswith("HTTP/1.0 400 ")
    assert answer.endswith("\r\n\r\nbad request\n")
    assert "no-store" in answer
    assert "canary" not in answer
    assert "aiohttp" not in answer
    assert caplog.records == []


async def test_a_fault_of_our_own_is_told_to_the_log_alone(
    aiohttp_client: AiohttpClient, health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> bytes:
        raise ValueError("canary")

    admin = await aiohttp_client(make_admin_app(health, broken))
    async with admin.get("/metrics") as response:
        assert (response.status, await response.text()) == (500, "internal error\n")
    assert [record.getMessage() for record in caplog.records] == ["the admin listener failed"]
