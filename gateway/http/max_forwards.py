"""How far an OPTIONS request may still be forwarded (RFC 9110 §7.6.2). With other methods the field means nothing."""

from __future__ import annotations

import re

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.message import Fields, Request

_NAME = b"max-forwards"
_COUNT = re.compile(rb"[0-9]{1,9}")


def hops_left(fields: Fields) -> int:
    """How often the request may be forwarded. Raises `GatewayError` (request_invalid) for what is no such number."""
    values = fields.values(_NAME)
    if len(values) != 1 or not _COUNT.fullmatch(values[0]):
        raise GatewayError(errors.REQUEST_INVALID, "Max-Forwards is not one number")
    return int(values[0])


def forwarded_once(request: Request, left: int) -> Request:
    """The request as the next hop gets it, with one hop less than the `left` ones."""
    raw = request.fields.raw
    return Request(
        request.method,
        request.target,
        Fields((name, b"%d" % (left - 1) if name.lower() == _NAME else value) for name, value in raw),
        request.body,
        request.peer,
        request.scheme,
        request.version,
        request.interim,
        request.defect,
    )
