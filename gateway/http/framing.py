"""What must hold of a request's head before anything else is looked at (RFC 9112 §3, §6; RFC 9110 §10.1.1).

A parser answers "can this be read?"; these checks answer "can it be read in one way only, by us and by the upstream?".
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.message import Fields, Request

# llhttp knows these too; they would make the gateway a tunnel and an echo (RFC 9110 §9.3.6, §9.3.8).
REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
_SUPPORTED_VERSIONS = ((1, 1), (1, 0))


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Sizes in bytes of the request target and of the whole head, and the largest number of fields."""

    target: int
    head: int
    fields: int


def check_head(request: Request, limits: HeadLimits) -> None:
    """Refuse a head that is unreadable, too large, or whose framing two readers could take differently."""
    fields = request.fields
    # What follows from the fields alone need not be asked twice; the request line is another one each time.
    if (
        fields.checked_for is limits
        and request.version == (1, 1)
        and len(request.target) <= limits.target
        and len(request.target) + fields.size <= limits.head
        and request.method not in REFUSED_METHODS
    ):
        return
    _check_all(request, limits)
    if request.version == (1, 1):
        fields.checked_for = limits


def _check_all(request: Request, limits: HeadLimits) -> None:
    if request.defect is not None:
        raise request.defect
    if request.version not in _SUPPORTED_VERSIONS:
        raise GatewayError(
            errors.VERSION_UNSUPPORTED, f"the request says HTTP/{request.version[0]}.{request.version[1]}"
        )
    _check_sizes(request, limits)
    if request.method in REFUSED_METHODS:
        raise GatewayError(errors.NOT_IMPLEMENTED, f"{request.method} is never forwarded")
    if len(request.fields.values(b"host")) != 1:
        # RFC 9112 §3.2, for HTTP/1.0 too: which of two an upstream would believe can't be known.
        raise GatewayError(errors.HOST_INVALID, f"{len(request.fields.values(b'host'))} Host fields")
    if b"transfer-encoding" in request.fields:
        _check_transfer_encoding(request)
    if b"expect" in request.fields:
        _check_expectation(request)


def _check_sizes(request: Request, limits: HeadLimits) -> None:
    if len(request.target) > limits.target:
        raise GatewayError(errors.TARGET_TOO_LONG, f"more than {limits.target} bytes")
    if len(request.fields) > limits.fields:
        raise GatewayError(errors.HEAD_TOO_LARGE, f"more than {limits.fields} fields")
    if len(request.target) + request.fields.size > limits.head:
        raise GatewayError(errors.HEAD_TOO_LARGE, f"more than {limits.head} bytes")


def _check_transfer_encoding(request: Request) -> None:
    # Content-Length beside it is how requests are smuggled: two readers choose different ends (RFC 9112 §6.1).
    if b"content-length" in request.fields:
        raise GatewayError(errors.FRAMING_INVALID, "Content-Length and Transfer-Encoding in one request")
    if request.version != (1, 1):
        raise GatewayError(errors.FRAMING_INVALID, "Transfer-Encoding in an HTTP/1.0 request")
    codings = request.fields.values(b"transfer-encoding")
    if len(codings) != 1 or codings[0].lower() != b"chunked":
        raise GatewayError(errors.NOT_IMPLEMENTED, "a transfer coding other than exactly `chunked`")


def _check_expectation(request: Request) -> None:
    if request.version == (1, 0):
        return  # RFC 9110 §10.1.1: an expectation in an HTTP/1.0 request is ignored.
    values = request.fields.values(b"expect")
    if len(values) != 1 or values[0].lower() != b"100-continue":
        raise GatewayError(errors.EXPECTATION_FAILED, "an expectation other than 100-continue")


def expects_continue(fields: Fields, version: tuple[int, int]) -> bool:
    """Whether the client holds its body back until it sees a 100 (RFC 9110 §10.1.1)."""
    return version == (1, 1) and any(value.lower() == b"100-continue" for value in fields.values(b"expect"))
