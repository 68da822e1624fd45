"""`/status` and `/status.json` on the admin listener: one document, as a page for people and for programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from gateway.admin import status_page

Read = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives the members of the document, of this moment."""


def routes(read: Read) -> list[web.RouteDef]:
    """What is answered. Nothing here needs a credential, so nothing here is one, or a client's."""

    async def page(_: web.Request) -> web.Response:
        text = status_page.page(await read())
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=status_page.FIELDS)

    async def document(_: web.Request) -> web.Response:
        return web.json_response(await read(), headers={"X-Content-Type-Options": "nosniff"})

    return [web.get("/status", page), web.get("/status.json", document)]
