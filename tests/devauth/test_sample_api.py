"""The sample API: it shows what the gateway told it, and nothing a client sends breaks it."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from gateway.devauth.sample_api import make_sample_api

Api = TestClient[web.Request, web.Application]


@pytest.fixture
async def api(aiohttp_client: AiohttpClient) -> Api:
    return await aiohttp_client(make_sample_api())


async def test_it_is_healthy_and_knows_some_orders(api: Api) -> None:
    async with api.get("/health") as answer:
        assert await answer.json() == {"status": "ok"}
    async with api.get("/orders/acme") as answer:
        assert await answer.json() == {"orders": [{"id": 1, "item": "anvil"}], "caller": {}}
    async with api.get("/orders/nobody") as answer:
        assert (await answer.json())["orders"] == []


async def test_it_shows_who_the_gateway_says_is_calling_and_no_other_header(api: Api) -> None:
    async with api.get("/orders/acme", headers={"X-Auth-Subject": "u1", "Authorization": "Bearer x"}) as answer:
        assert (await answer.json())["caller"] == {"X-Auth-Subject": "u1"}


async def test_what_is_ordered_is_kept_for_that_tenant_alone(api: Api) -> None:
    async with api.post("/orders/acme", data="hammer") as answer:
        assert answer.status == 201
        assert (await answer.json())["order"] == {"id": 3, "item": "hammer"}
    async with api.get("/orders/acme") as answer:
        assert [order["item"] for order in (await answer.json())["orders"]] == ["anvil", "hammer"]
    async with api.get("/orders/globex") as answer:
        assert [order["item"] for order in (await answer.json())["orders"]] == ["fan"]


async def test_there_is_an_invoice_for_each_order_of_the_tenant(api: Api) -> None:
    async with api.get("/invoices/acme", headers={"X-Auth-Subject": "u1"}) as answer:
        assert await answer.json() == {
            "invoices": [{"order": 1, "amount": 42}],
            "caller": {"X-Auth-Subject": "u1"},
        }
    async with api.get("/invoices/nobody") as answer:
        assert (await answer.json())["invoices"] == []


@pytest.mark.parametrize("content_type", ["text/plain; charset=nonsense", "text/plain; charset=utf-16", "a/b", ";;"])
async def test_any_body_can_be_ordered(api: Api, content_type: str) -> None:
    async with api.post("/orders/acme", data=b"\xff\xfe\x00" * 100, headers={"Content-Type": content_type}) as answer:
        assert answer.status == 201
        assert len((await answer.json())["order"]["item"]) == 100
