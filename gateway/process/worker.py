"""One process that serves: builds the gateway, listens, and drains when it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from aiohttp import web

from gateway import __version__, build
from gateway.admin.api import Api
from gateway.admin.listener import Health, make_admin_app
from gateway.admin.metrics import Metrics
from gateway.config import Config
from gateway.http.server import HttpServer
from gateway.http.tls_listener import Handshakes, TlsListener, tcp_sockets, unix_socket
from gateway.process import logs, traces

logger = logging.getLogger(__name__)

_BACKLOG = 1024

_LAST_HANDSHAKES = 1.0
"""Seconds for handshakes that are under way when no more connections are accepted."""


class Worker:
    """A gateway that listens. Raises `ConfigError` when made with a configuration that can't be built.

    `addresses` are those of the traffic port, as clients write them (`127.0.0.1:8080`, `unix:/run/gateway.sock`);
    with port 0 in the configuration they say which port it became.
    """

    def __init__(self, config: Config, environ: Mapping[str, str] | None = None) -> None:
        self._config = config
        self.gateway = build.build(config)
        self.addresses: list[str] = []
        self.admin_address = ""
        limits, tls = build.server_limits(config), build.listener_tls(config)
        self._server = HttpServer(self.gateway.handle, limits, scheme="http" if tls is None else "https")
        self._handshakes = Handshakes(self._server, tls, timeout=limits.request_head) if tls is not None else None
        self._listeners: list[asyncio.Server | TlsListener] = []
        self._admin: web.AppRunner | None = None
        self._health = self._make_health()
        self._metrics = Metrics()
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
        self._metrics.watch(
            requests_in_flight=lambda: gateway.in_flight,
            connections=lambda: self._server.open_connections,
            key_sources=[issuer.keys for issuer in gateway.issuers.values()],
            caches={"token": [gateway.verifier], "introspection": gateway.introspections},
            revocations=lambda: len(gateway.revoker.deny_list),
            upstreams=gateway.upstreams,
            redis=gateway.store,
        )
        for introspection in gateway.introspections:
            introspection.on_called.append(partial(self._metrics.observe_introspection, introspection.name))
        gateway.on_closed.append(self._metrics.observe)
        log = self._config.log
        if log.access:
            gateway.on_closed.append(logs.AccessLog(sys.stdout, format=log.format, tokens=log.tokens))
        if self._tracing is not None:
            gateway.on_closed.append(self._tracing)

    async def start(self) -> None:
        """Listen: first for operators, so that probes get an answer, then for clients. Raises OSError."""
        await self._start_admin()
        await self.gateway.start()
        for address in self._config.listen:
            await self._listen(address)
        self._health.started = True
        logger.info("oauth-gateway %s listens on %s", __version__, ", ".join(self.addresses))

    async def stop(self) -> None:
        """Drain: not ready, accept for `drain_delay` more, finish what runs within `drain`, close (RFC 9112 §9.6)."""
        timeouts = self._config.timeouts
        self._health.draining = True
        if timeouts.drain_delay:
            await asyncio.sleep(timeouts.drain_delay)
        for listener in self._listeners:
            listener.close()
        if self._handshakes is not None:
            await self._handshakes.finish(_LAST_HANDSHAKES)
        self._server.drain()
        await self._server.wait_closed(timeouts.drain)
        await self.gateway.close()
        if self._admin is not None:
            await self._admin.cleanup()
        if self._tracing is not None:
            self._tracing.shutdown()
        for address in self.addresses:
            _remove_socket(address)

    async def _start_admin(self) -> None:
        token = self._config.admin.token.get_secret_value()
        api = Api(self.gateway, token) if token else None
        self._admin = web.AppRunner(make_admin_app(self._health, self._metrics.render, api), access_log=None)
        await self._admin.setup()
        address = self._config.admin.listen
        if address.startswith("unix:"):
            await web.UnixSite(self._admin, address.removeprefix("unix:")).start()
            self.admin_address = address
            return
        host, port = _split(address)
        site = web.TCPSite(self._admin, host, port)
        with _names(address):
            await site.start()
        self.admin_address = _shown(self._admin.addresses[0])

    async def _listen(self, address: str) -> None:
        loop = asyncio.get_running_loop()
        with _names(address):
            if address.startswith("unix:"):
                path = address.removeprefix("unix:")
                if self._handshakes is not None:
                    self._listeners.append(TlsListener(unix_socket(path, _BACKLOG), self._handshakes))
                else:
                    self._listeners.append(await loop.create_unix_server(self._server, path, backlog=_BACKLOG))
                self.addresses.append(address)
                return
            host, port = _split(address)
            listeners: list[asyncio.Server | TlsListener] = []
            if self._handshakes is not None:
                listeners += [TlsListener(each, self._handshakes) for each in tcp_sockets(host, port, _BACKLOG)]
            else:
                listeners.append(await loop.create_server(self._server, host, port, backlog=_BACKLOG))
        self._listeners += listeners
        self.addresses += [_shown(each.getsockname()) for listener in listeners for each in listener.sockets]


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal ends it at once."""
    logs.configure(config.log.level, config.log.format)

    with asyncio.Runner(loop_factory=_event_loop()) as runner:
        runner.run(_serve(config))


async def _serve(config: Config) -> None:
    worker = Worker(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _told_to_stop, stop)
    # By default SIGHUP ends a process, also one whose terminal merely went away.
    loop.add_signal_handler(signal.SIGHUP, logger.warning, "SIGHUP: reload is not supported yet; restart instead")
    try:
        await worker.start()
        await stop.wait()
    finally:
        await worker.stop()


def _told_to_stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        logger.warning("told to stop again: ending at once")
        os._exit(1)
    stop.set()


def _event_loop() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop where there is one: about half the CPU time of asyncio's own loop on this work."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


@contextlib.contextmanager
def _names(address: str) -> Iterator[None]:
    """Says which address could not be had, and what to do."""
    try:
        yield
    except OSError as problem:
        hint = "; another program listens there" if problem.errno == errno.EADDRINUSE else ""
        raise OSError(problem.errno, f"{address}: {os.strerror(problem.errno or 0)}{hint}") from None


def _split(address: str) -> tuple[str | None, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]") or None, int(port)


def _shown(endpoint: tuple[object, ...]) -> str:
    host, port = str(endpoint[0]), endpoint[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _remove_socket(address: str) -> None:
    if address.startswith("unix:"):
        Path(address.removeprefix("unix:")).unlink(missing_ok=True)
