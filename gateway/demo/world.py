"""The demo's world: authorization server, sample API and the gateway in front of it, in one process on loopback."""

from __future__ import annotations

import contextlib
import functools
import string
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.config import load
from gateway.demo.scenarios import Scenario, tokens
from gateway.devauth import defaults
from gateway.devauth.sample_api import make_sample_api
from gateway.devauth.server import DevelopmentServer
from gateway.explanation import Explanation, explain
from gateway.process.single import SingleProcess

ADMIN_TOKEN: Final = "demo-admin-token"
_KEYS_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class World:
    """Everything that runs. `tokens` are those of the scenarios, by shell variable."""

    server: DevelopmentServer
    worker: SingleProcess
    configuration: Path
    tokens: dict[str, str]

    @property
    def issuer(self) -> str:
        """The authorization server."""
        return self.server.issuer

    @property
    def origin(self) -> str:
        """Where the gateway takes requests."""
        return f"http://{self.worker.addresses[0]}"

    @property
    def admin_origin(self) -> str:
        """Where operators reach it."""
        return f"http://{self.worker.admin_address}"

    def token_of(self, scenario: Scenario) -> str | None:
        """The token a scenario sends."""
        return self.tokens[scenario.variable] if scenario.variable is not None else None

    async def explain(self, method: str, url: str, token: str | None) -> Explanation:
        """What `oauth-gateway explain` says of a request to the gateway that runs."""
        return await explain(self.worker.gateway, method, url, token)

    def shortened(self, token: str, ends_at: int) -> str:
        """A copy of a token that was issued here, good until `ends_at` (seconds since the epoch)."""
        issued = self.server.tokens.find(token)
        assert issued is not None
        return self.server.tokens.access(issued.authorization, issued.get_scope(), {"exp": ends_at}).value


@contextlib.asynccontextmanager
async def running(port: int, folder: Path) -> AsyncIterator[World]:
    """Start it; the gateway listens on `port`, 0 for a free one, and its configuration is written into `folder`.

    Raises OSError when the port is taken.
    """
    async with contextlib.AsyncExitStack() as stack:
        server = DevelopmentServer(defaults.CLIENTS, users=defaults.USERS)
        await server.start()
        stack.push_async_callback(server.stop)
        api = web.AppRunner(make_sample_api(), access_log=None)
        await api.setup()
        stack.push_async_callback(api.cleanup)
        await web.TCPSite(api, "127.0.0.1", 0).start()
        path = folder / "gateway.yaml"
        text = functools.partial(
            _template().substitute,
            path=path,
            admin_token=ADMIN_TOKEN,
            issuer=server.issuer,
            upstream=f"http://127.0.0.1:{api.addresses[0][1]}",
        )
        path.write_text(text(port=port, admin_port=0))
        worker = SingleProcess(load(path, {}))
        stack.push_async_callback(worker.stop)
        await worker.start()
        # For whoever reads the file: the ports that became of 0.
        path.write_text(text(port=_port(worker.addresses[0]), admin_port=_port(worker.admin_address)))
        await worker.gateway.wait_for_keys(timeout=_KEYS_WITHIN)
        yield World(server, worker, path, tokens(server))


def _template() -> string.Template:
    return string.Template((resources.files(__package__) / "templates" / "gateway.yaml").read_text(encoding="utf-8"))


def _port(address: str) -> str:
    return address.rpartition(":")[2]
