"""What happened to one request: written along its way, read once at its end by the log, the metrics and `explain`."""

from __future__ import annotations

from collections.abc import Callable
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

    trace_id = ""
    traceparent = ""
    """The client's well-formed traceparent (W3C Trace Context §3.2), the parent of this request's span."""
    client_ip = ""
    host = ""
    origin = ""
    """Our own scheme and authority, as this client sees them."""
    path = ""
    """The one path that was matched and forwarded, without the query: that may hold secrets."""
    route: str | None = None
    decision: str | None = None
    """`allow`, `refuse` or `would_refuse`; None when the request never got as far."""
    reason: str | None = None
    status = 0
    issuer: str | None = None
    subject: str | None = None
    client_id: str | None = None
    scopes_missing: tuple[str, ...] = ()
    token: Any = None
    token_id = ""
    """The first 16 hex digits of the token's SHA-256, when the log is to tell tokens apart; else empty."""
    upstream: str | None = None
    upstream_status: int | None = None
    seconds = 0.0
    auth_seconds = 0.0
    upstream_seconds: float | None = None
    bytes_in = 0
    bytes_out = 0
    steps: list[Step] | None = None
    end_turn: Callable[[], None] | None = None
    """Lets the next token of this client's address be verified, where failures are limited."""
    limit_fields: tuple[tuple[bytes, bytes], ...] = ()
    """What the response tells of the route's rate limit."""

    # What a request has no word of stays the class's: to write all of it each time would cost a microsecond.
    def __init__(self, method: str, started: float, request_id: str = "") -> None:
        self.method = method
        self.started = started
        self.request_id = request_id

    def note(self, step: str, ok: bool, detail: str, where: str = "") -> None:
        """Tell what a check saw; nothing on live traffic. `detail` holds no token, no secret and no claim's value."""
        if self.steps is not None:
            self.steps.append(Step(step, ok, detail, where))

    def __repr__(self) -> str:
        return f"<RequestRecord {self.request_id} {self.method} {self.decision} {self.status}>"
