"""Calls to issuers: bounded in size and time, no redirects, no cookies, and only over TLS unless it is loopback.

An issuer's answer decides whom the gateway trusts, so whatever is not exactly as expected is a failure.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gateway.oauth.jose import Malformed, strict_json

MAX_ANSWER = 2**20
"""Bytes read of any answer."""

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?:$|[,\s])", re.IGNORECASE)


class IssuerFailure(Exception):
    """An issuer could not be asked, or its answer can't be used. `kind` is a word for metrics; nothing is quoted."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON object from an issuer; `max_age` is what its Cache-Control allows, in seconds."""

    members: dict[str, Any] = field(repr=False)
    max_age: float | None = None


class IssuerClient:
    """Fetches JSON documents from one issuer. `timeout` is for the whole exchange, in seconds."""

    def __init__(self, *, timeout: float, allow_http: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self.timeout = timeout
        self._allow_http = allow_http
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> IssuerClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def fetch(self, url: str, *, named_at: str | None = None) -> Document:
        """GET a JSON object; `named_at` is the address of the document that named this one. Raises `IssuerFailure`."""
        try:
            self._check_address(url, named_at)
            return await self._get(url)
        except TimeoutError:
            raise IssuerFailure("timeout", f"no answer in {self.timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as problem:
            # The exception's text can quote what the issuer sent.
            raise IssuerFailure("unreachable", type(problem).__name__) from None
        except Malformed as problem:
            raise IssuerFailure("malformed", str(problem)) from None
        except ValueError:
            # urllib, yarl and the IDNA codec, about an address that came from the issuer's metadata.
            raise IssuerFailure("address", "an address that is no URL") from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, url: str) -> Document:
        # A redirect would let whoever answers choose another address for us (SSRF), so it is an answer like any other
        # that is not 200. Identity encoding: a small body can't become a large one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with self._sessions().get(url, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise IssuerFailure("status", f"status {response.status}")
            body = await self._read(response)
            found = _MAX_AGE.search(response.headers.get("Cache-Control", ""))
            return Document(strict_json(body), float(found[1]) if found else None)

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
                connector=aiohttp.TCPConnector(ssl=self._tls or True, limit=4),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self.timeout),
                auto_decompress=False,
            )
        return self._session

    def _check_address(self, url: str, named_at: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme == "https" or (parts.scheme == "http" and self._allow_http):
            return
        # Plain HTTP to this machine is for issuers that run on it: one elsewhere must not send us to our neighbours
        # behind the firewall (SSRF).
        if parts.scheme == "http" and is_loopback(parts.hostname) and not _is_https(named_at):
            return
        raise IssuerFailure("address", "an address that is not https (allow_http is false)")


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
