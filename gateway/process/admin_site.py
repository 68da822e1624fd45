"""The admin listener of this process, from the `admin` block of the configuration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from gateway.admin.api import Api
from gateway.admin.figures import Figures
from gateway.admin.listener import Status, make_admin_app
from gateway.admin.operations import Operations
from gateway.admin.refusals import Refusal
from gateway.process import listening
from gateway.process.overview import Overview
from gateway.process.reload import Reloader, ReloadOperation, ReportedReload


class AdminSite:
    """Answers operators. Raises OSError when made for an address that can't be had; `address` says where it listens."""

    def __init__(
        self,
        reloader: Reloader,
        status: Status,
        figures: Callable[[], Awaitable[Figures]],
        refusals: Callable[[], Sequence[Refusal]],
        operations: Operations,
    ) -> None:
        told = ReportedReload(reloader, status)
        overview = Overview(lambda: reloader.config, told, figures, refusals)
        api = Api(ReloadOperation(reloader, operations), lambda: reloader.config.admin.token.get_secret_value())

        async def metrics() -> bytes:
            return (await figures()).render()

        application = make_admin_app(told, metrics, api, overview)
        self._runner = web.AppRunner(application, access_log=None)
        self._places = listening.bind([reloader.config.admin.listen])
        self.address = self._places[0].address

    async def start(self) -> None:
        """Begin to answer."""
        await self._runner.setup()
        for place in self._places:
            for each in place.sockets:
                await web.SockSite(self._runner, each, backlog=listening.BACKLOG).start()

    async def stop(self) -> None:
        """Answer no more."""
        await self._runner.cleanup()
        for place in self._places:
            place.close()
            place.remove()
