"""One decision told step by step: the same `Gateway.admit` as live traffic, every check writing down what it saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from gateway import errors
from gateway.access.rules import Permit
from gateway.app import Gateway, Route
from gateway.errors import GatewayError
from gateway.http.message import Field, Fields, Request
from gateway.record import RequestRecord, Step
from gateway.upstream.inbound import Inbound

# What somebody who looks over a shoulder, or reads a ticket with this output, could use.
_CREDENTIALS = frozenset({"authorization", "cookie", "dpop"})
_NOT_SHOWN = "(not shown)"


@runtime_checkable
class Sends(Protocol):
    """An action that sends the request on, and can say in which form."""

    def sent_head(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> bytes:
        """The request head the upstream would receive. Raises `GatewayError` when it would receive none."""
        ...


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What the upstream would receive: method, target and header fields as text."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict with the way that led to it."""

    allowed: bool
    status: int
    reason: str | None
    route: str | None
    steps: tuple[Step, ...]
    upstream_request: UpstreamRequest | None

    def lines(self) -> list[str]:
        """For people: one line a step, then the verdict."""
        width = max((len(step.step) for step in self.steps), default=0)
        lines = [_line(step, width) for step in self.steps]
        verdict = "allowed" if self.allowed else f"refused: {self.status} {self.reason}"
        lines.append(f"=> {verdict}")
        if self.upstream_request is not None:
            lines.append(f"   upstream gets: {self.upstream_request.method} {self.upstream_request.target}")
            lines += [f"     {name}: {value}" for name, value in self.upstream_request.headers.items()]
        return lines

    def as_json(self) -> dict[str, Any]:
        """For programs: the members of `explain --json`."""
        sent = self.upstream_request
        return {
            "allowed": self.allowed,
            "status": self.status,
            "reason": self.reason,
            "route": self.route,
            "steps": [
                {"step": step.step, "ok": step.ok, "detail": step.detail, "config": step.where} for step in self.steps
            ],
            "upstream_request": sent and {"method": sent.method, "target": sent.target, "headers": dict(sent.headers)},
        }


def _line(step: Step, width: int) -> str:
    where = f"  ({step.where})" if step.where else ""
    return f"{'ok ' if step.ok else 'NO '} {step.step:<{width}}  {step.detail}{where}"


async def explain(
    gateway: Gateway,
    method: str,
    url: str,
    token: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    *,
    peer: str = "127.0.0.1",
) -> Explanation:
    """Decide about a request that nobody sent; nothing reaches an upstream.

    `url` is an address, or just a path: then the host is that of `external_url`, or else localhost. `peer` is the
    address that it comes from.
    """
    request = _request(method, url, token, headers, gateway.forwarding.external_authority or "localhost", peer)
    record = gateway.open_record(request)
    record.steps = []
    try:
        route, inbound, permit = await gateway.admit(request, record)
        upstream_request = _upstream_request(route, inbound, permit, record)
    except GatewayError as error:
        record.note(_failed_step(error), False, f"{error.reason.name}: {error.evidence}", error.where)
        return _explanation(record, error.reason.status, error.reason.name, None)
    return _explanation(record, 200, None, upstream_request)


def _explanation(
    record: RequestRecord, status: int, reason: str | None, upstream_request: UpstreamRequest | None
) -> Explanation:
    steps: Sequence[Step] = record.steps or ()
    return Explanation(reason is None, status, reason, record.route, tuple(steps), upstream_request)


def _failed_step(error: GatewayError) -> str:
    """The step a refusal belongs to, by the status it leads to."""
    by_reason = {
        "route_not_found": "route",
        "method_not_allowed": "route",
        "path_ambiguous": "target",
        "host_invalid": "target",
        "scope_insufficient": "scopes",
        "claim_refused": "claims",
        "issuer_refused": "issuer",
        "issuer_unknown": "issuer",
        "issuer_unavailable": "issuer",
        "key_unknown": "key",
        "signature_invalid": "key",
        "algorithm_refused": "key",
        "token_revoked": "revocation",
        "loop_detected": "upstream",
    }
    if error.reason in (errors.WEBSOCKET_INVALID, errors.WEBSOCKET_VERSION):
        return "upgrade"
    name = error.reason.name
    if name in by_reason:
        return by_reason[name]
    return "credential" if name.startswith("token_m") or "credential" in name else "token"


def _request(
    method: str, url: str, token: str | None, headers: Iterable[tuple[str, str]], default_host: str, peer: str
) -> Request:
    is_target = url.startswith("/")
    # A target stays as a client would send it. Read as a reference, `//x` were a host, and `#x` no part of it.
    parts = urlsplit("" if is_target else url)
    target = url if is_target else (parts.path or "/") + (f"?{parts.query}" if "?" in url else "")
    fields: list[Field] = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if not any(name.lower() == b"host" for name, _ in fields):
        fields.insert(0, (b"Host", (parts.netloc or default_host).encode("latin-1", "replace")))
    if token is not None:
        fields.append((b"Authorization", f"Bearer {token}".encode("latin-1", "replace")))
    return Request(method, target, Fields(fields), peer=peer, scheme=parts.scheme or "http")


def _upstream_request(route: Route, inbound: Inbound, permit: Permit, record: RequestRecord) -> UpstreamRequest | None:
    action: object = route.action
    if not isinstance(action, Sends):
        return None
    head = action.sent_head(inbound, permit, record).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        value = _NOT_SHOWN if name.lower() in _CREDENTIALS else value
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return UpstreamRequest(method, target, headers)
