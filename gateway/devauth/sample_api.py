"""A small orders API for the demo: it trusts the gateway, and shows what it was told of the caller."""

from __future__ import annotations

import itertools
from typing import Any

from aiohttp import web

_MAX_ORDERS = 1000


def make_sample_api() -> web.Application:
    """GET /health, GET and POST /orders/{tenant}, GET /invoices/{tenant}. It checks nothing: the gateway does."""
    orders: dict[str, list[dict[str, Any]]] = {
        "acme": [{"id": 1, "item": "anvil"}],
        "globex": [{"id": 2, "item": "fan"}],
    }
    numbers = itertools.count(3)

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def read(request: web.Request) -> web.Response:
        return web.json_response({"orders": orders.get(request.match_info["tenant"], []), "caller": _caller(request)})

    async def write(request: web.Request) -> web.Response:
        # Not request.text(): that trusts the charset a client names, and fails on one that does not exist.
        item = (await request.read()).decode("utf-8", "replace")
        order = {"id": next(numbers), "item": item[:100]}
        tenant = orders.setdefault(request.match_info["tenant"], [])
        tenant.append(order)
        del tenant[:-_MAX_ORDERS]
        return web.json_response({"order": order, "caller": _caller(request)}, status=201)

    async def invoices(request: web.Request) -> web.Response:
        listed = [{"order": order["id"], "amount": 42} for order in orders.get(request.match_info["tenant"], [])]
        return web.json_response({"invoices": listed, "caller": _caller(request)})

    application = web.Application()
    application.add_routes(
        [
            web.get("/health", health),
            web.get("/orders/{tenant}", read),
            web.post("/orders/{tenant}", write),
            web.get("/invoices/{tenant}", invoices),
        ]
    )
    return application


def _caller(request: web.Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.lower().startswith("x-auth-")}
