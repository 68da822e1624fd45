"""The pages that explain: what the server is, and why some grants are gone."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from gateway.devauth import answers
from gateway.devauth.browser import Browser
from gateway.devauth.clients import Clients
from gateway.devauth.pages import stylesheet


class InformationPages:
    """`/`, `/grants`, and the style sheet of all pages."""

    def __init__(self, browser: Browser, issuer: str, clients: Clients) -> None:
        self._browser = browser
        self._issuer = issuer
        self._clients = clients

    def routes(self) -> Iterable[web.RouteDef]:
        """Where requests go."""
        path = self._browser.path
        yield web.get(f"{path}/", self._home)
        yield web.get(f"{path}/grants", self._grants)
        yield web.get(f"{path}/style.css", self._style)

    async def _home(self, _: web.Request) -> web.Response:
        names = self._browser.users.names
        return answers.as_page(self._browser.pages.home(self._issuer, self._clients, names))

    async def _grants(self, _: web.Request) -> web.Response:
        return answers.as_page(self._browser.pages.grants())

    async def _style(self, _: web.Request) -> web.Response:
        headers = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
        return web.Response(text=stylesheet(), content_type="text/css", charset="utf-8", headers=headers)
