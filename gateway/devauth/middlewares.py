"""What holds for every request: it is meant for this server, and its answer has one of our forms."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aiohttp import web

from gateway.devauth import addresses, answers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]+)(?::[0-9]*)?")


class Messages(Protocol):
    """Pages that have one for something to read."""

    def message(self, title: str, text: str) -> str:
        """A whole page."""
        ...


def make(pages: Messages, issuer: str, *, is_local: bool) -> list[Any]:
    """The middlewares of the application; `is_local`: it listens on loopback alone."""
    own_host = addresses.host_of(issuer)

    @web.middleware
    async def in_our_forms(request: web.Request, handler: Handler) -> web.StreamResponse:
        """No error page of the framework: JSON for programs, a page for people."""
        try:
            return await handler(request)
        except web.HTTPException as refusal:
            return _refusal(request, pages, refusal)

    @web.middleware
    async def meant_for_us(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse other names: a page can give its own name this machine's address (DNS rebinding)."""
        found = _HOST.fullmatch(request.host)
        is_ours = found is not None and (addresses.is_loopback(found[1]) or found[1].lower() == own_host)
        if is_local and not is_ours:
            raise web.HTTPMisdirectedRequest
        return await handler(request)

    return [in_our_forms, meant_for_us]


def _refusal(request: web.Request, pages: Messages, refusal: web.HTTPException) -> web.Response:
    reason = refusal.reason or ""
    allow = {"Allow": refusal.headers["Allow"]} if "Allow" in refusal.headers else {}
    if "text/html" not in request.headers.get("Accept", ""):
        return answers.as_error("invalid_request", reason, refusal.status, allow)
    text = "This server has nothing here for you. Its first page lists what there is."
    answer = answers.as_page(pages.message(reason, text), refusal.status)
    answer.headers.update(allow)
    return answer
