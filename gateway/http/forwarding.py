"""Who the client is and how it sees us, and how the upstream is told (RFC 7239, X-Forwarded-*).

What a request says of itself in these fields counts only when it comes from a trusted proxy; from anyone else it is
replaced. Nothing but logs, identity of the client address and our own address as seen from outside depends on them.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.host import Host, parse_host
from gateway.http.message import Fields

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{8,128}")
_TRACE_ID = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]*)?")
# More hops than any real chain has; what is beyond them was written to cost us time.
_MAX_HOPS = 32
# Clients choose Host, so what is kept for it is bounded.
_MAX_VIEWS = 4096


@dataclass(frozen=True, slots=True)
class ClientView:
    """The client's address, and how it addressed us. `host` is for routing, `authority` is what Host said.

    `origin` is our own scheme and authority as clients see them (`external_url` where configured). `lines` are the
    forwarding fields for the upstream, as header lines.
    """

    ip: str
    scheme: str
    host: str
    authority: str
    origin: str
    lines: bytes


class Forwarding:
    """Reads the forwarding fields of requests and writes those for upstreams."""

    def __init__(self, trusted: Sequence[Network] = (), external_url: str | None = None) -> None:
        self._trusted = tuple(trusted)
        self._external_url = external_url.rstrip("/") if external_url is not None else None
        self.external_authority = urlsplit(external_url).netloc if external_url is not None else ""
        """Host and port of `external_url`; empty without one."""
        self._prefix = secrets.token_hex(6)
        self._counter = itertools.count(1)
        self._views: dict[tuple[object, ...], ClientView] = {}

    def client(self, peer: str, fields: Fields, scheme: str, authority: str | None) -> ClientView:
        """How this request came to us. `authority` is that of an absolute-form target, which replaces Host.

        Raises `GatewayError` (host_invalid) unless there is exactly one well-formed host (RFC 9112 §3.2).
        """
        if self._trusted and self._trusts(peer):
            return self._proxied(peer, fields, scheme, _host(fields, authority))
        # Of a stranger nothing but its address and Host counts: the same for all requests of a connection.
        key = (peer, scheme, authority, *fields.values(b"host"))
        view = self._views.get(key)
        if view is None:
            host = _host(fields, authority)
            view = self._view(peer, scheme, host, host.authority, (peer,) if peer else ())
            self._remember(key, view)
        return view

    def _remember(self, key: tuple[object, ...], view: ClientView) -> None:
        if len(self._views) >= _MAX_VIEWS:
            self._views.clear()
        self._views[key] = view

    def request_id(self, peer: str, fields: Fields) -> str:
        """The id a trusted proxy gave the request, or a new one."""
        values = fields.values(b"x-request-id")
        if len(values) == 1 and self._trusted and _REQUEST_ID.fullmatch(values[0]) and self._trusts(peer):
            return values[0].decode("ascii")
        return f"{self._prefix}{next(self._counter):08x}"

    def _view(self, ip: str, scheme: str, host: Host, external_host: str, chain: tuple[str, ...]) -> ClientView:
        origin = self._external_url if self._external_url is not None else f"{scheme}://{external_host}"
        lines = _lines(scheme, external_host, chain)
        return ClientView(ip, scheme, host.name, host.authority, origin, lines)

    def _proxied(self, peer: str, fields: Fields, scheme: str, host: Host) -> ClientView:
        hops = [*_forwarded_for(fields), peer]
        # From the right: whoever is named behind the last hop we don't trust could have been made up by it.
        index = len(hops) - 1
        while index > 0 and self._trusts(hops[index]):
            index -= 1
        chain = tuple(hops[index:])
        scheme = _last(fields, b"x-forwarded-proto", ("http", "https")) or scheme
        external = _external_host(fields) or host.authority
        return self._view(chain[0], scheme, host, external, chain)

    def _trusts(self, ip: str) -> bool:
        address = _address(ip)
        return address is not None and any(
            address in network for network in self._trusted if network.version == address.version
        )


def _lines(scheme: str, host: str, chain: tuple[str, ...]) -> bytes:
    """X-Forwarded-* and Forwarded (RFC 7239 §4) for the upstream."""
    addresses = ", ".join(chain) or "unknown"
    nodes = ", ".join(f"for={_node(ip)}" for ip in chain) or "for=unknown"
    quoted = f'"{host}"' if ":" in host else host
    return (
        f"X-Forwarded-For: {addresses}\r\nX-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: {host}\r\n"
        f"Forwarded: {nodes};proto={scheme};host={quoted}\r\n"
    ).encode("ascii")


def _host(fields: Fields, authority: str | None) -> Host:
    values = fields.values(b"host")
    if len(values) != 1:
        raise GatewayError(errors.HOST_INVALID, f"{len(values)} Host fields")
    host = parse_host(values[0].decode("latin-1"))
    return host if authority is None else parse_host(authority)


def _forwarded_for(fields: Fields) -> list[str]:
    """The addresses a trusted proxy names, left to right; from the first that is none on, the rest doesn't count."""
    named = [part.strip() for value in fields.values(b"x-forwarded-for") for part in value.decode("latin-1").split(",")]
    if not named:
        named = _for_parameters(fields)
    hops: list[str] = []
    for text in reversed(named[-_MAX_HOPS:]):
        address = _address(_without_port(text))
        if address is None:
            break
        hops.insert(0, str(address))
    return hops


def _for_parameters(fields: Fields) -> list[str]:
    elements = [element for value in fields.values(b"forwarded") for element in value.decode("latin-1").split(",")]
    pairs = [pair.partition("=") for element in elements for pair in element.split(";")]
    return [value.strip().strip('"') for name, _, value in pairs if name.strip().lower() == "for"]


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # ::ffff:10.0.0.1 is 10.0.0.1: a rule for the one must hold for the other.
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def _node(ip: str) -> str:
    return f'"[{ip}]"' if ":" in ip else ip


def _last(fields: Fields, name: bytes, allowed: tuple[str, ...]) -> str | None:
    """The value our own proxy wrote: the last one of the list."""
    values = fields.values(name)
    value = values[-1].decode("latin-1").rpartition(",")[2].strip().lower() if values else ""
    return value if value in allowed else None


def _external_host(fields: Fields) -> str | None:
    values = fields.values(b"x-forwarded-host")
    if not values:
        return None
    try:
        return parse_host(values[-1].decode("latin-1").rpartition(",")[2].strip()).authority
    except GatewayError:
        return None


def traceparent(fields: Fields) -> tuple[str, str]:
    """A well-formed traceparent and the trace id in it (W3C Trace Context §3.2); empty texts without one."""
    values = fields.values(b"traceparent")
    found = _TRACE_ID.fullmatch(values[0]) if len(values) == 1 else None
    if found is None or found[1] == b"0" * 32:
        return "", ""
    return values[0].decode("ascii"), found[1].decode("ascii")
