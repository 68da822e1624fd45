"""Sends requests of the tour and keeps what went over the wire, to be shown. Follows no redirect, keeps no cookie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

import aiohttp
from yarl import URL

_SECONDS: Final = 15.0
_FIELDS: Final = {"User-Agent": "oauth-gateway-demo", "Accept": "application/json"}


class NoAnswer(Exception):
    """A server could not be asked; says what kind of failure it was."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response: its first line, header fields and body."""

    first: str
    fields: tuple[tuple[str, str], ...]
    body: str = field(default="", repr=False)

    def value_of(self, name: str) -> str:
        """The value of a header field, empty when it is not there."""
        return next((value for found, value in self.fields if found.lower() == name.lower()), "")

    def members(self) -> dict[str, Any]:
        """The members of a JSON body, none for any other."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was made, and its answer."""

    request: Message
    response: Message
    status: int


class Wire:
    """For `async with`: the connections."""

    async def __aenter__(self) -> Wire:
        self._session = aiohttp.ClientSession(
            headers=_FIELDS,
            skip_auto_headers=["Accept-Encoding"],
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_SECONDS),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, method: str, url: str, fields: Mapping[str, str], body: str = "") -> Sent:
        """Make a request; whatever is in `body` is sent as it is. Raises `NoAnswer`."""
        target = URL(url, encoded=True)
        try:
            async with self._session.request(
                method, target, headers=fields, data=body.encode() or None, allow_redirects=False
            ) as answer:
                received = (await answer.read()).decode("utf-8", "replace")
                sent_fields = tuple(answer.request_info.headers.items())
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise NoAnswer(type(problem).__name__) from None
        got_fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw_headers)
        return Sent(
            Message(f"{method} {target.raw_path_qs} HTTP/1.1", sent_fields, body),
            Message(f"HTTP/1.1 {answer.status} {answer.reason}", got_fields, received),
            answer.status,
        )
