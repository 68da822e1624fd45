"""What happened to one request: written along its way, read once at its end by the log, the metrics and `explain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One check of a decision, in words. `where` is the line of the configuration it comes from."""

    step: str
    ok: bool
    detail: str
    where: str = ""


class RequestRecord:
    """One request, from its head to the end of its response. Times are seconds, sizes bytes of bodies.

    `steps` is None on live traffic, so that a check costs nothing to tell; `explain` sets a list.
    """

    __slots__ = (
        "auth_seconds",
        "bytes_in",
        "bytes_out",
        "client_id",
        "client_ip",
        "decision",
        "host",
        "issuer",
        "method",
        "origin",
        "path",
        "reason",
        "request_id",
        "route",
        "scopes_missing",
        "seconds",
        "started",
        "status",
        "steps",
        "subject",
        "token",
        "token_id",
        "trace_id",
        "traceparent",
        "upstream",
        "upstream_seconds",
        "upstream_status",
    )

    def __init__(self, method: str, started: float, request_id: str = "") -> None:
        self.method = method
        self.started = started
        self.request_id = request_id
        self.trace_id = ""
        self.traceparent = ""
        """The client's well-formed traceparent (W3C Trace Context §3.2), the parent of this request's span."""
        self.client_ip = ""
        self.host = ""
        self.origin = ""
        """Our own scheme and authority, as this client sees them."""
        self.path = ""
        """The one path that was matched and forwarded, without the query: that may hold secrets."""
        self.route: str | None = None
        self.decision: str | None = None
        """`allow`, `refuse` or `would_refuse`; None when the request never got as far."""
        self.reason: str | None = None
        self.status = 0
        self.issuer: str | None = None
        self.subject: str | None = None
        self.client_id: str | None = None
        self.scopes_missing: tuple[str, ...] = ()
        self.token: Any = None
        self.token_id = ""
        """The first 16 hex digits of the token's SHA-256, when the log is to tell tokens apart; else empty."""
        self.upstream: str | None = None
        self.upstream_status: int | None = None
        self.seconds = 0.0
        self.auth_seconds = 0.0
        self.upstream_seconds: float | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.steps: list[Step] | None = None

    def note(self, step: str, ok: bool, detail: str, where: str = "") -> None:
        """Tell what a check saw; nothing on live traffic. `detail` holds no token, no secret and no claim's value."""
        if self.steps is not None:
            self.steps.append(Step(step, ok, detail, where))

    def __repr__(self) -> str:
        return f"<RequestRecord {self.request_id} {self.method} {self.decision} {self.status}>"
