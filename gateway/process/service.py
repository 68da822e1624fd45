"""The gateway at work in one process: takes connections from sockets that are given to it, counts, logs, and drains.

Who binds the sockets, answers operators and decides when to stop is another matter: a process alone, or a supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Collection, Mapping
from functools import partial
from socket import socket

from gateway import build
from gateway.admin.listener import Health
from gateway.admin.metrics import Metrics
from gateway.admin.operations import GatewayOperations
from gateway.app import Gateway
from gateway.build import ALONE, Built, Crew
from gateway.config import Config
from gateway.http.server import HttpServer
from gateway.http.tls import ServerContext
from gateway.http.tls_listener import Handshakes
from gateway.oauth.introspection_answers import Introspection
from gateway.process import logs, traces
from gateway.process.listening import Acceptor
from gateway.process.succession import Successor

logger = logging.getLogger(__name__)

_LAST_LOOK = 0.05
"""Seconds to read requests whose bytes are here, before connections that look idle are closed."""


class Service:
    """One gateway that serves. Raises `ConfigError` when made with a configuration that can't be built.

    `health` says whether it can decide about requests; `started` and `draining` of it are set by this class.
    """

    def __init__(self, config: Config, crew: Crew = ALONE, environ: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._crew = crew
        self._built = build.construct(config, crew)
        self._started = asyncio.Event()
        self._successor: Successor | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._former: list[Gateway] = []
        self.metrics = Metrics()
        self.operations = GatewayOperations(self.gateway)
        self.health = self._make_health()
        limits, tls = build.server_limits(config, crew), build.listener_tls(config)
        scheme = "http" if tls is None else "https"
        self._server = HttpServer(self.gateway.handle, limits, scheme=scheme, begin=self.gateway.begin)
        self._handshakes = Handshakes(self._server, tls, timeout=limits.request_head) if tls is not None else None
        self._acceptor = Acceptor(self._server, self._handshakes)
        self._tracing = traces.tracing(os.environ if environ is None else environ)
        self._observe(self.gateway)

    @property
    def gateway(self) -> Gateway:
        """The one that decides about the next request."""
        return self._built.gateway

    def _make_health(self) -> Health:
        feed, redis = self.gateway.feed, self._config.redis
        return Health(
            lambda: {name: issuer.keys.fetched_at for name, issuer in self.gateway.issuers.items()},
            (lambda: feed.is_connected) if feed is not None else None,
            needs_redis=redis is not None and redis.required,
        )

    def _observe(self, gateway: Gateway, known: Collection[Introspection] = ()) -> None:
        """Count and log what a gateway does; `known` are introspections that are counted already."""
        self.metrics.watch(
            requests_in_flight=self._in_flight,
            connections=lambda: self._server.open_connections,
            key_sources=[issuer.keys for issuer in gateway.issuers.values()],
            caches={"token": [gateway.verifier], "introspection": gateway.parts.introspections},
            revocations=lambda: len(gateway.revoker.deny_list),
            upstreams=gateway.upstreams,
            redis=gateway.store,
        )
        for introspection in gateway.parts.introspections:
            if introspection not in known:
                introspection.on_called.append(partial(self.metrics.observe_introspection, introspection.name))
        gateway.on_closed.append(self.metrics.observe)
        log = self._config.log
        if log.access:
            gateway.on_closed.append(logs.AccessLog(sys.stdout, format=log.format, tokens=log.tokens))
        if self._tracing is not None:
            gateway.on_closed.append(self._tracing)

    def _in_flight(self) -> int:
        """Also what the gateways of before still have: WebSockets last."""
        return sum(gateway.in_flight for gateway in (self.gateway, *self._former))

    # --- a configuration in the place of another ---------------------------------------------------------------

    async def prepare(self, config: Config) -> None:
        """Build a gateway for another configuration aside, and start what is new of it. Raises `ConfigError`.

        Only one at a time: it is for `swap` or `abandon` then.
        """
        await self._started.wait()
        await self.abandon()
        # In a thread: thousands of routes take seconds, and requests must not wait for them.
        built, tls = await asyncio.to_thread(self._build, config)
        successor = Successor(built, tls, self.gateway)
        try:
            await successor.start()
        except BaseException:
            await successor.abandon()
            raise
        self._successor = successor

    def _build(self, config: Config) -> tuple[Built, ServerContext | None]:
        return build.construct(config, self._crew, self._built), build.listener_tls(config)

    def swap(self) -> None:
        """From now on the prepared gateway decides about each request that begins, on connections that are open too."""
        successor, self._successor = self._successor, None
        assert successor is not None
        was_ready, before = self.health.report()["ready"], self.gateway
        self._built, self._config = successor.built, successor.built.config
        successor.judge_anew()
        self._observe(successor.gateway, before.parts.introspections)
        limits = build.server_limits(self._config, self._crew)
        self._server.renew(successor.gateway.handle, limits, begin=successor.gateway.begin)
        if self._handshakes is not None and successor.tls is not None:
            self._handshakes.renew(successor.tls, timeout=limits.request_head)
        self.operations.gateway = successor.gateway
        issuers = successor.gateway.issuers.items()
        if was_ready:
            self.health.excused = frozenset(name for name, issuer in issuers if issuer.keys.fetched_at is None)
        self._former = [*(gateway for gateway in self._former if gateway.in_flight), before]
        task = asyncio.create_task(successor.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retired)

    async def abandon(self) -> None:
        """What was prepared is not wanted."""
        successor, self._successor = self._successor, None
        if successor is not None:
            await successor.abandon()

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        self._former = [gateway for gateway in self._former if gateway.in_flight]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("what a reload left behind can't be ended", exc_info=error)

    # --- at work -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the revocations and begin to fetch keys; no connection is taken yet."""
        await self.gateway.start()
        self.health.started = True
        self._started.set()

    async def accept_on(self, sockets: Collection[socket]) -> None:
        """Take connections from these sockets and no others."""
        await self._acceptor.accept_on(sockets)

    async def drain(self, sockets: Collection[socket]) -> None:
        """Take what waits at these sockets, close them, and finish within `timeouts.drain` (RFC 9112 §9.6)."""
        self.health.draining = True
        await self._acceptor.finish(sockets)
        await asyncio.sleep(_LAST_LOOK)
        self._server.drain()
        await self._server.wait_closed(self._config.timeouts.drain)

    async def close(self) -> None:
        """End what runs in the background, and send the last traces."""
        await self._acceptor.accept_on(())
        await self.abandon()
        for task in list(self._retiring):
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.gateway.close()
        if self._tracing is not None:
            self._tracing.shutdown()
