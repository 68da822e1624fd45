"""Host names and authorities, strictly (RFC 9110 §7.2, RFC 3986 §3.2); and the address of whoever is connected."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from gateway import errors
from gateway.errors import GatewayError

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_])?\.?)(?::([0-9]{0,5}))?")
_LABELS = re.compile(r"(?!.*\.\.)[^.].{0,252}", re.DOTALL)


class Host:
    """`name` in lower case, without a port or a trailing dot; `authority` as it goes into a Host field."""

    __slots__ = ("authority", "name", "port")

    def __init__(self, name: str, port: int | None) -> None:
        self.name = name
        self.port = port
        self.authority = name if port is None else f"{name}:{port}"

    def __repr__(self) -> str:
        return f"<Host {self.authority}>"


@lru_cache(maxsize=1024)
def parse_host(value: str) -> Host:
    """Read an authority without user information. Raises `GatewayError` (host_invalid) for anything else.

    The cache holds what clients send, so it is bounded; a refusal is not kept.
    """
    found = _AUTHORITY.fullmatch(value)
    if found is None:
        raise GatewayError(errors.HOST_INVALID, "Host is no host name with an optional port")
    name = found[1].lower()
    port = int(found[2]) if found[2] else None
    if port is not None and not 0 < port < 65536:
        raise GatewayError(errors.HOST_INVALID, "the port is out of range")
    if name.startswith("["):
        return Host(_ipv6(name[1:-1]), port)
    if not _LABELS.fullmatch(name):
        raise GatewayError(errors.HOST_INVALID, "Host has an empty label or is too long")
    return Host(name.removesuffix("."), port)


def address_of(peername: object) -> str:
    """A peer's IP address as text; empty for a unix socket."""
    return str(peername[0]) if isinstance(peername, tuple) and peername else ""


def _ipv6(text: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(text)}]"
    except ValueError:
        raise GatewayError(errors.HOST_INVALID, "Host holds a malformed IPv6 address") from None
