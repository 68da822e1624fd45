"""A request together with what has been established about it: what an action of a route works on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.access.rules import Permit
from gateway.http.forwarding import ClientView
from gateway.http.message import Request, Response
from gateway.http.target import Target
from gateway.record import RequestRecord


@dataclass(slots=True, eq=False)
class Inbound:
    """`target` is the one path, `client` how the client sees us, `segments` the path parameters as they were sent."""

    request: Request
    target: Target
    client: ClientView
    segments: Mapping[str, str]


Action = Callable[[Inbound, Permit, RequestRecord], Awaitable[Response]]
"""What a route does with a request that may pass."""
