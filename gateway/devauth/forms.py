"""Parameters of requests, read strictly: UTF-8, and none of them twice (RFC 6749 §3.1, §3.2, appendix B)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web
from authlib.oauth2.rfc6749 import InvalidRequestError

LARGEST_BODY: Final = 64 * 1024
_MOST_PARAMETERS = 100
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Parameters:
    """Values by name, without the empty ones, which count as left out; and the names that came more than once."""

    values: dict[str, str]
    repeated: frozenset[str]


def of_query(request: web.Request) -> Parameters:
    """The parameters of the address. Raises `InvalidRequestError`."""
    return _parsed(request.rel_url.raw_query_string)


async def of_body(request: web.Request) -> Parameters:
    """The parameters of a form. Raises `InvalidRequestError`; `HTTPRequestEntityTooLarge` over `LARGEST_BODY`."""
    if request.content_type != _FORM:
        raise InvalidRequestError(f"the body must be {_FORM}")
    try:
        text = (await _read(request)).decode("ascii")
    except UnicodeDecodeError:
        raise InvalidRequestError("the body is not percent-encoded") from None
    return _parsed(text)


async def once(request: web.Request) -> dict[str, str]:
    """The parameters of a form in which none comes twice. Raises as `of_body` does."""
    form = await of_body(request)
    if form.repeated:
        raise InvalidRequestError("a parameter comes twice")
    return form.values


async def document(request: web.Request) -> dict[str, Any]:
    """A JSON object. Raises `InvalidRequestError`; `HTTPRequestEntityTooLarge` over `LARGEST_BODY`."""
    if request.content_type != "application/json":
        # A page of another origin can't send this type without asking first: so it can't register clients.
        raise InvalidRequestError("the body must be application/json")
    try:
        found = json.loads((await _read(request)).decode("utf-8"))
    except (ValueError, RecursionError):
        raise InvalidRequestError("the body is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise InvalidRequestError("the body must be one JSON object")
    return found


async def _read(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.RequestPayloadError:
        raise InvalidRequestError("the body is malformed") from None


def _parsed(text: str) -> Parameters:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise InvalidRequestError("the parameters are too many, or not in UTF-8") from None
    counted = Counter(name for name, _ in pairs)
    values = {name: value for name, value in reversed(pairs) if value}
    return Parameters(values, frozenset(name for name, times in counted.items() if times > 1))
