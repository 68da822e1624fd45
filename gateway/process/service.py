"""The gateway at work in one process: takes connections from sockets that are given to it, counts, logs, and drains.

Who binds the sockets, answers operators and decides when to stop is another matter: a process alone, or a supervisor.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection, Mapping
from functools import partial
from socket import socket

from gateway import build
from gateway.admin.listener import Health
from gateway.admin.metrics import Metrics
from gateway.build import ALONE, Crew
from gateway.config import Config
from gateway.http.server import HttpServer
from gateway.http.tls_listener import Handshakes
from gateway.process import logs, traces
from gateway.process.listening import Acceptor

_LAST_LOOK = 0.05
"""Seconds to read requests whose bytes are here, before connections that look idle are closed."""


class Service:
    """One gateway that serves. Raises `ConfigError` when made with a configuration that can't be built.

    `health` says whether it can decide about requests; `started` and `draining` of it are set by this class.
    """

    def __init__(self, config: Config, crew: Crew = ALONE, environ: Mapping[str, str] | None = None) -> None:
        self._config = config
        self.gateway = build.build(config, crew)
        self.metrics = Metrics()
        self.health = self._make_health()
        limits, tls = build.server_limits(config, crew), build.listener_tls(config)
        scheme = "http" if tls is None else "https"
        self._server = HttpServer(self.gateway.handle, limits, scheme=scheme, begin=self.gateway.begin)
        handshakes = Handshakes(self._server, tls, timeout=limits.request_head) if tls is not None else None
        self._acceptor = Acceptor(self._server, handshakes)
        self._tracing = traces.tracing(os.environ if environ is None else environ)
        self._observe()

    def _make_health(self) -> Health:
        issuers, feed, redis = self.gateway.issuers, self.gateway.feed, self._config.redis
        return Health(
            lambda: {name: issuer.keys.fetched_at for name, issuer in issuers.items()},
            (lambda: feed.is_connected) if feed is not None else None,
            needs_redis=redis is not None and redis.required,
        )

    def _observe(self) -> None:
        gateway = self.gateway
        self.metrics.watch(
            requests_in_flight=lambda: gateway.in_flight,
            connections=lambda: self._server.open_connections,
            key_sources=[issuer.keys for issuer in gateway.issuers.values()],
            caches={"token": [gateway.verifier], "introspection": gateway.introspections},
            revocations=lambda: len(gateway.revoker.deny_list),
            upstreams=gateway.upstreams,
            redis=gateway.store,
        )
        for introspection in gateway.introspections:
            introspection.on_called.append(partial(self.metrics.observe_introspection, introspection.name))
        gateway.on_closed.append(self.metrics.observe)
        log = self._config.log
        if log.access:
            gateway.on_closed.append(logs.AccessLog(sys.stdout, format=log.format, tokens=log.tokens))
        if self._tracing is not None:
            gateway.on_closed.append(self._tracing)

    async def start(self) -> None:
        """Read the revocations and begin to fetch keys; no connection is taken yet."""
        await self.gateway.start()
        self.health.started = True

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
        await self.gateway.close()
        if self._tracing is not None:
            self._tracing.shutdown()
