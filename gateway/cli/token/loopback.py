"""Waits on this machine for the browser that comes back from the authorization server (RFC 8252 §7.3, §8.3).

Knows nothing of what a good answer is: whoever waits says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from aiohttp import web

from gateway.oauth.authorization_code import ForeignAnswer
from gateway.oauth.client import is_loopback

_SHOWN_FOR = 2.0
"""Seconds a browser has to fetch the last page."""

# aiohttp would log a malformed request in full: a code may be in it.
_NO_LOG = logging.Logger("loopback", logging.CRITICAL + 1)

_STYLE = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}"
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
}

Receive = Callable[[str], Awaitable[None]]
"""Takes the query of an answer. `ForeignAnswer` lets the waiting go on; whatever else it raises ends it."""


@dataclass(frozen=True, slots=True)
class RedirectAddress:
    """Where the browser is to come back to: http on this machine. Port 0 is any free one.

    The path stays as it was written, empty too: issuers compare to the letter.
    """

    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, uri: str) -> RedirectAddress:
        """Raises ValueError for what is not ours to listen at."""
        parts = urlsplit(uri)
        if parts.scheme != "http" or not is_loopback(parts.hostname) or parts.username is not None:
            raise ValueError("the redirect has to be http on this machine: 127.0.0.1, [::1] or localhost")
        if parts.query or parts.fragment:
            raise ValueError("the redirect has no query and no fragment")
        return cls(parts.hostname or "", parts.port or 0, parts.path)

    def at(self, port: int) -> str:
        """The redirect URI with the port that is listened at."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}{self.path}"


class RedirectListener:
    """For `async with`: listens, and hands each answer to whoever waits until one is good or ends the sign-in."""

    def __init__(self, address: RedirectAddress) -> None:
        self._address = address
        self._receive: Receive = _nobody_waits
        self._done_path = f"{address.path.rstrip('/')}/done"
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shown = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.redirect_uri = ""

    async def __aenter__(self) -> RedirectListener:
        """Raises OSError when the port is taken."""
        sockets = _listeners(self._address.host, self._address.port)
        port = sockets[0].getsockname()[1]
        self.redirect_uri = self._address.at(port)
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None, logger=_NO_LOG), shutdown_timeout=1)
        await self._runner.setup()
        for each in sockets:
            await web.SockSite(self._runner, each).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        if self._ended.done():
            self._ended.exception()  # else Python would complain where nobody waited

    def expect(self, receive: Receive) -> None:
        """From now on answers are taken. To be called before a browser is sent on its way: some are quick."""
        self._receive = receive

    async def wait(self) -> None:
        """Until the sign-in has ended and its last page was shown. Raises what `receive` raised."""
        await asyncio.wait([self._ended])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._shown.wait(), _SHOWN_FOR)
        self._ended.result()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        authority = urlsplit(self.redirect_uri).netloc
        if request.host not in (authority, authority.removesuffix(":80")):
            # A page of the web that made its own name lead to this machine (DNS rebinding).
            return _page(400, "Not found here", "This address is for one sign-in alone.")
        if request.method != "GET":
            return _page(405, "Not like this", "A browser comes here with GET.", Allow="GET")
        if request.path == self._done_path and self._ended.done():
            self._shown.set()
            return self._last_page()
        if request.path != (self._address.path or "/"):
            return _page(404, "Not found", "There is nothing here.")
        # As it was sent: yarl would write it anew.
        return await self._receive_answer(request.raw_path.partition("?")[2])

    async def _receive_answer(self, query: str) -> web.Response:
        async with self._one_at_a_time:  # a code that comes twice is redeemed once
            if not self._ended.done():
                try:
                    await self._receive(query)
                except ForeignAnswer:
                    text = "This is not the answer that the terminal waits for. Start again from its link."
                    return _page(400, "Not the right answer", text)
                except Exception as problem:
                    self._ended.set_exception(problem)
                else:
                    self._ended.set_result(None)
        # At once to an address without the code: that one stays in the history (RFC 9700 §4.3).
        return web.Response(status=303, headers={"Location": self._done_path, **_HEADERS})

    def _last_page(self) -> web.Response:
        if self._ended.exception() is None:
            return _page(200, "You are signed in", "The terminal has its token. You can close this window.")
        # What went wrong is a stranger's text: it is for the terminal.
        return _page(200, "That did not work", "The terminal says why. You can close this window.")


async def _nobody_waits(_: str) -> None:
    raise ForeignAnswer("nothing was asked yet")


def _page(status: int, title: str, text: str, **headers: str) -> web.Response:
    page = _PAGE.format(title=title, text=text, style=_STYLE)
    return web.Response(status=status, text=page, content_type="text/html", headers={**_HEADERS, **headers})


def _listeners(host: str, port: int) -> list[socket.socket]:
    """`localhost` is what the browser takes for it: IPv4, and IPv6 on the same port where there is one."""
    if host not in ("localhost",) and not host.endswith(".localhost"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return [socket.create_server((host, port), family=family)]
    first = socket.create_server(("127.0.0.1", port))
    with contextlib.suppress(OSError):
        return [first, socket.create_server(("::1", first.getsockname()[1]), family=socket.AF_INET6)]
    return [first]
