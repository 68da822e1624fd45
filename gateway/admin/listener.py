"""The admin listener: probes for an orchestrator, metrics for Prometheus, a page for people; never on the traffic port.

It is told what to say by whoever keeps the `Status`; it knows no configuration and sees no token.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway.admin import status_site
from gateway.admin.api import Api
from gateway.admin.figures import CONTENT_TYPE

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# A probe's answer is true for one moment: a cache between would keep a dead gateway alive. No versions are told.
_FIELDS = {"Cache-Control": "no-store", "Server": "oauth-gateway"}

_MAX_BODY = 64 * 1024

logger = logging.getLogger(__name__)


class Status(Protocol):
    """What the probes answer from."""

    @property
    def started(self) -> bool:
        """Whether the start is over."""
        ...

    def report(self) -> dict[str, Any]:
        """Whether requests should be sent here (`ready`), and if not, why not."""
        ...


class Health:
    """The status of one process. It sets `started` once it listens, and `draining` when told to stop.

    `keys` gives, by the issuer's name, when its keys were last had (seconds since the epoch), or None before the first.
    `redis` says whether Redis can be used; it is None without one. `needs_redis`: not ready while it can't.
    """

    def __init__(
        self,
        keys: Callable[[], Mapping[str, float | None]],
        redis: Callable[[], bool] | None = None,
        *,
        needs_redis: bool = False,
    ) -> None:
        self.started = False
        self.draining = False
        self.excused: frozenset[str] = frozenset()
        """Issuers that came by a reload: while they have no keys, what worked before goes on, and so does this."""
        self._keys = keys
        self._redis = redis
        self._needs_redis = needs_redis

    def report(self) -> dict[str, Any]:
        """Whether requests should be sent here, and if not, why not."""
        keys = self._keys()
        has_redis = self._redis is None or self._redis()
        waited_for = [name for name, fetched_at in keys.items() if fetched_at is None and name not in self.excused]
        is_whole = not waited_for and (has_redis or not self._needs_redis)
        report: dict[str, Any] = {
            "ready": self.started and not self.draining and is_whole,
            "started": self.started,
            "draining": self.draining,
            "issuers": {name: "waiting" if fetched_at is None else "ready" for name, fetched_at in keys.items()},
        }
        if self._redis is not None:
            state = "ready" if has_redis else "unavailable"
            report["redis"] = {"state": state, "required": self._needs_redis}
        return report


def make_admin_app(
    health: Status,
    metrics: Callable[[], Awaitable[bytes]],
    api: Api | None = None,
    overview: status_site.Read | None = None,
) -> web.Application:
    """The admin listener's application. `metrics` renders the Prometheus text, `overview` reads what `/status` shows.

    Without `api`, `/api` is not there; `/status` is not without `overview`.
    """

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def startupz(_: web.Request) -> web.Response:
        return web.json_response({"started": health.started}, status=200 if health.started else 503)

    async def readyz(_: web.Request) -> web.Response:
        report = health.report()
        return web.json_response(report, status=200 if report["ready"] else 503)

    async def prometheus(_: web.Request) -> web.Response:
        return web.Response(body=await metrics(), headers={"Content-Type": CONTENT_TYPE})

    guards = [api.guard] if api is not None else []
    application = web.Application(middlewares=[_plain_errors, *guards], client_max_size=_MAX_BODY)
    application.on_response_prepare.append(_set_fields)
    application.add_routes(
        [
            web.get("/livez", livez),
            web.get("/startupz", startupz),
            web.get("/readyz", readyz),
            web.get("/healthz", readyz),
            web.get("/metrics", prometheus),
            *(status_site.routes(overview) if overview is not None else []),
            *(api.routes() if api is not None else []),
        ]
    )

    def make_server(**options: Any) -> web.Server:
        made = web.Application._make_handler(application, **options)
        return _Server(made.request_handler, request_factory=made.request_factory, **made._kwargs)

    # What a runner asks for the server. aiohttp discourages subclasses of its application, and has no other seam.
    object.__setattr__(application, "_make_handler", make_server)
    return application


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)


class _Connection(RequestHandler):
    """Answers what is no request in constant words: aiohttp's page quotes the line, be it one with the admin token."""

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
            logger.error("the admin listener failed", exc_info=exc)
        text = "internal error\n" if status >= 500 else "bad request\n"
        response = web.Response(status=status, text=text, headers=_FIELDS)
        response.force_close()
        return response


@web.middleware
async def _plain_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Unknown paths and methods get a few words that repeat nothing of the request."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as refusal:
        # RFC 9110 §15.5.6: a 405 names what is allowed.
        return web.Response(status=405, text="method not allowed\n", headers={"Allow": refusal.headers["Allow"]})
    except web.HTTPException as refusal:
        return web.Response(status=refusal.status, text=f"{refusal.reason.lower()}\n")


async def _set_fields(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_FIELDS)
