"""Connections that answer what is no request in constant words: aiohttp's own page and log line quote what was sent."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway.devauth import answers

logger = logging.getLogger(__name__)


class Connection(RequestHandler):
    """One connection of a client."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to malformed bytes, or to a fault of our own."""
        if status >= 500:
            logger.error("a request could not be answered", exc_info=exc)
            response = answers.as_error("server_error", "internal error", status)
        else:
            response = answers.as_error("invalid_request", "this is no HTTP request", status)
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)


def use(application: web.Application) -> None:
    """Let the application's server make such connections."""

    def make_server(**options: Any) -> web.Server:
        made = web.Application._make_handler(application, **options)
        return _Server(made.request_handler, request_factory=made.request_factory, **made._kwargs)

    # What a runner asks for the server. aiohttp discourages subclasses of its application, and has no other seam.
    object.__setattr__(application, "_make_handler", make_server)
