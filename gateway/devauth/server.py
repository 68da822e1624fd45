"""The development authorization server over HTTP: it listens, knows its own address, and puts the parts together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from aiohttp import web

from gateway.devauth import addresses, connections, defaults
from gateway.devauth.attempts import Attempts
from gateway.devauth.authorization import AuthorizationEndpoint
from gateway.devauth.browser import Browser
from gateway.devauth.clients import Client, Clients
from gateway.devauth.device_pages import DevicePages
from gateway.devauth.endpoints import Endpoints
from gateway.devauth.forms import LARGEST_BODY
from gateway.devauth.grants import Grants
from gateway.devauth.information import InformationPages
from gateway.devauth.keys import Algorithm, SigningKeys
from gateway.devauth.logout import LogoutEndpoint
from gateway.devauth.middlewares import make
from gateway.devauth.pages import Pages
from gateway.devauth.scopes import OPENID
from gateway.devauth.sessions import Sessions
from gateway.devauth.tokens import Tokens
from gateway.devauth.users import User, Users

_MOST_ATTEMPTS = 10
_SHUTDOWN_SECONDS = 2.0


class DevelopmentServer:
    """An issuer for tests: everything is in memory, secrets are in plain sight.

    `scopes` explains scopes to users; `audience` is that of clients that register themselves; `issuer` is the address
    by which clients know the server, where that is another than the one it listens on. `seed` makes the signing keys
    the same in every run. Raises ValueError for an issuer that can't be one.
    """

    def __init__(
        self,
        clients: Iterable[Client],
        algorithm: Algorithm = "RS256",
        *,
        users: Iterable[User] = (),
        scopes: Mapping[str, str] = defaults.SCOPES,
        audience: str = defaults.AUDIENCE,
        issuer: str = "",
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if issuer:
            addresses.check_issuer(issuer)
        self._clients = Clients(clients)
        self._keys = SigningKeys(algorithm, seed)
        self._users = Users(users)
        self._meanings = {**OPENID, **scopes}
        self._audience = audience
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self.issuer = issuer
        self.tokens: Tokens

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, beyond_loopback: bool = False) -> None:
        """Listen; port 0 takes a free one. Raises ValueError beyond loopback, OSError when the port is taken.

        `host` is an address: what a name leads to is for others to say. `beyond_loopback` is for those who know what
        they do; the issuer then must be said, and be https or loopback.
        """
        listener = addresses.listener(host, port, beyond_loopback=beyond_loopback)
        try:
            self.issuer = self.issuer or addresses.origin(listener)
            addresses.check_issuer(self.issuer)
        except ValueError:
            listener.close()
            raise
        # Whoever connects from here on waits in the backlog until everything is there.
        self.tokens = Tokens(self.issuer, self._keys, self._clock)
        is_local = addresses.is_loopback(listener.getsockname()[0])
        application = self._application(is_local)
        # A packed body is nothing that a form may be, and unpacking is work that others can ask for.
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, auto_decompress=False
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    def rotate_keys(self) -> str:
        """Sign with a new key from now on. Returns its `kid`."""
        return self._keys.rotate()

    def _application(self, is_local: bool) -> web.Application:
        grants = Grants(self._clients, self.tokens, self._audience)
        browser = self._browser()
        middlewares = make(browser.pages, self.issuer, is_local=is_local)
        application = web.Application(client_max_size=LARGEST_BODY, middlewares=middlewares)
        connections.use(application)
        device_attempts = Attempts(_MOST_ATTEMPTS, clock=self._clock)
        for part in (
            Endpoints(grants, self._clients.scopes, browser.path),
            AuthorizationEndpoint(browser, grants, self._clock),
            DevicePages(browser, grants.devices, device_attempts),
            LogoutEndpoint(browser, self._clients, self.tokens),
            InformationPages(browser, self.issuer, self._clients),
        ):
            application.add_routes(part.routes())
        return application

    def _browser(self) -> Browser:
        path = addresses.path_of(self.issuer)
        return Browser(
            Pages(path, self._meanings),
            Sessions(self._clock),
            self._users,
            Attempts(_MOST_ATTEMPTS, clock=self._clock),
            cookie=addresses.cookie_name(self.issuer),
            path=path,
            is_https=self.issuer.startswith("https://"),
        )
