"""One process that does everything: binds, serves, answers operators, and drains when it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from socket import socket

from gateway import __version__
from gateway.admin.figures import Figures
from gateway.app import Gateway
from gateway.config import Config, ConfigFiles
from gateway.oauth.key_source import cancelled
from gateway.process import listening, logs
from gateway.process.admin_site import AdminSite
from gateway.process.listening import Place
from gateway.process.reload import Reloader
from gateway.process.service import Service
from gateway.process.signals import Signals

logger = logging.getLogger(__name__)


class SingleProcess:
    """A gateway that listens. Raises `ConfigError` when made with a configuration that can't be built.

    `addresses` are those of the traffic port, as clients write them (`127.0.0.1:8080`, `unix:/run/gateway.sock`);
    with port 0 in the configuration they say which port it became.
    """

    def __init__(
        self, config: Config, environ: Mapping[str, str] | None = None, *, files: ConfigFiles | None = None
    ) -> None:
        """`files` is where the configuration was read, and is read again when they change."""
        self._service = Service(config, environ=environ)
        self.reloader = Reloader(config, files, self._take)
        self._reloading: asyncio.Task[None] | None = None
        self._places: list[Place] = []
        self._admin: AdminSite | None = None

    @property
    def gateway(self) -> Gateway:
        """What decides and forwards."""
        return self._service.gateway

    @property
    def addresses(self) -> list[str]:
        """Where clients are listened for."""
        return [place.address for place in self._places]

    @property
    def admin_address(self) -> str:
        """Where operators are."""
        return self._admin.address if self._admin is not None else ""

    async def start(self) -> None:
        """Listen: first for operators, so that probes get an answer, then for clients. Raises OSError."""
        service = self._service
        refusals = service.metrics.refusals.newest_first
        self._admin = AdminSite(self.reloader, service.health, self._figures, refusals, service.operations)
        await self._admin.start()
        self._places = listening.bind(self.reloader.config.listen)
        await service.start()
        await service.accept_on(self._sockets)
        self._reloading = asyncio.create_task(self.reloader.run())
        logger.info("oauth-gateway %s listens on %s", __version__, ", ".join(self.addresses))

    async def stop(self) -> None:
        """Drain: not ready, accept for `drain_delay` more, finish what runs within `drain`, close."""
        self._service.health.draining = True
        self.reloader.stop()
        await asyncio.sleep(self.reloader.config.timeouts.drain_delay)
        await listening.turn_away(self._places)
        await self._service.drain(self._sockets)
        await self.close()

    async def close(self) -> None:
        """End at once, also what never started."""
        await cancelled(self._reloading)
        await self.reloader.close()
        for place in self._places:
            place.close()
            place.remove()
        await self._service.close()
        if self._admin is not None:
            await self._admin.stop()

    @property
    def _sockets(self) -> list[socket]:
        return [place.of(0) for place in self._places]

    async def _figures(self) -> Figures:
        figures = self._service.metrics.figures()
        self.reloader.tell(figures)
        return figures

    async def _take(self, config: Config) -> None:
        await self._service.prepare(config)
        self._service.swap()
        logs.configure(config.log.level, config.log.format)


async def serve(config: Config, files: ConfigFiles | None = None) -> None:
    """Serve in this process until told to stop, then drain. Raises `ConfigError`, OSError."""
    process = SingleProcess(config, files=files)
    signals = Signals()
    signals.on(signal.SIGHUP, process.reloader.ask)
    signals.on(signal.SIGUSR2, lambda: logger.warning("SIGUSR2: with one worker there is none to replace"))
    try:
        await process.start()
        await signals.told_to_stop()
        await process.stop()
    except BaseException:
        await process.close()
        raise
