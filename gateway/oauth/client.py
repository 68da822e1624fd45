"""Calls to issuers: bounded in size and time, no redirects, no cookies, and only over TLS unless it is loopback.

An issuer's answer decides whom the gateway trusts, so whatever is not exactly as expected is a failure.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gateway.oauth.jose import Malformed, strict_json

MAX_ANSWER = 2**20
"""Bytes read of any answer."""

Form = Mapping[str, str] | Sequence[tuple[str, str]]
"""The parameters of a body; as pairs where one may come twice (`resource`, RFC 8707 §2)."""

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?:$|[,\s])", re.IGNORECASE)


class IssuerFailure(Exception):
    """An issuer could not be asked, or its answer can't be used. `kind` is a word for metrics; nothing is quoted.

    `status` is that of an answer which is a failure for nothing but its status code.
    """

    def __init__(self, kind: str, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = status


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON object from an issuer; `max_age` is what its Cache-Control allows, in seconds."""

    members: dict[str, Any] = field(repr=False)
    max_age: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What an issuer answered, whatever it is. `media_type` is in lower case and without parameters."""

    status: int
    media_type: str
    body: bytes = field(repr=False)
    cache_control: str = ""


class IssuerClient:
    """Talks to one issuer. `timeout` is for a whole exchange, in seconds; `connections` may be open at once.

    `tls` gives the context for a new connection, so that a certificate that was renewed is used from then on.
    `proxy` gives the address of the proxy that leads to a URL, or None.
    """

    def __init__(
        self,
        *,
        timeout: float,
        allow_http: bool = False,
        tls: Callable[[], ssl.SSLContext] | None = None,
        connections: int = 4,
        proxy: Callable[[str], str | None] = lambda url: None,
    ) -> None:
        self.timeout = timeout
        self._allow_http = allow_http
        self._tls = tls
        self._connections = connections
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> IssuerClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def fetch(self, url: str, *, named_at: str | None = None) -> Document:
        """GET a JSON object; `named_at` is the address of the document that named this one. Raises `IssuerFailure`."""
        reply = await self._exchange("GET", url, named_at, {"Accept": "application/json"})
        if reply.status != 200:
            raise IssuerFailure("status", f"status {reply.status}", status=reply.status)
        found = _MAX_AGE.search(reply.cache_control)
        return Document(read_object(reply.body), float(found[1]) if found else None)

    async def post(self, url: str, form: Form, headers: Mapping[str, str], *, named_at: str | None = None) -> Reply:
        """POST a form. Raises `IssuerFailure` when there is no answer; what the answer means is for the caller."""
        return await self._exchange("POST", url, named_at, headers, form)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(
        self,
        method: str,
        url: str,
        named_at: str | None,
        headers: Mapping[str, str],
        form: Form | None = None,
    ) -> Reply:
        try:
            check_address(url, named_at=named_at, allow_http=self._allow_http)
            return await self._request(method, url, headers, form)
        except TimeoutError:
            raise IssuerFailure("timeout", f"no answer in {self.timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as problem:
            # The exception's text can quote what the issuer sent.
            raise IssuerFailure("unreachable", type(problem).__name__) from None
        except ValueError:
            # urllib, yarl and the IDNA codec, about an address that came from the issuer's metadata.
            raise IssuerFailure("address", "an address that is no URL") from None

    async def _request(self, method: str, url: str, headers: Mapping[str, str], form: Form | None) -> Reply:
        # A redirect would let whoever answers choose another address for us (SSRF), so it is an answer like any other
        # that is not 200. Identity encoding: a small body can't become a large one.
        async with self._sessions().request(
            method,
            url,
            headers={**headers, "Accept-Encoding": "identity"},
            data=form,
            allow_redirects=False,
            ssl=self._tls() if self._tls is not None else True,
            proxy=self._proxy(url),
        ) as response:
            body = await self._read(response)
            return Reply(
                response.status, response.content_type.lower(), body, response.headers.get("Cache-Control", "")
            )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > MAX_ANSWER:
                raise IssuerFailure("too_large", f"more than {MAX_ANSWER} bytes")
        return bytes(body)

    def _sessions(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self.timeout),
                auto_decompress=False,
            )
        return self._session


def check_address(url: str, *, named_at: str | None = None, allow_http: bool = False) -> None:
    """That what goes to this address is not for everybody to read. Raises `IssuerFailure`, ValueError for no URL."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and allow_http):
        return
    # Plain HTTP to this machine is for issuers that run on it: one elsewhere must not send us to our neighbours
    # behind the firewall (SSRF).
    if parts.scheme == "http" and is_loopback(parts.hostname) and not _is_https(named_at):
        return
    raise IssuerFailure("address", "an address that is not https (allow_http is false)")


def read_object(body: bytes) -> dict[str, Any]:
    """The one JSON object that a body is, without duplicate names (RFC 8259 §4). Raises `IssuerFailure`."""
    try:
        return strict_json(body)
    except Malformed as problem:
        raise IssuerFailure("malformed", str(problem)) from None


def _is_https(url: str | None) -> bool:
    return url is not None and urlsplit(url).scheme == "https"


def is_loopback(host: str | None) -> bool:
    """Whether a host name is this machine by itself."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
