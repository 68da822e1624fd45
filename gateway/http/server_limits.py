"""What clients of the traffic port may do, whichever server they meet."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.http.framing import HeadLimits


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one connection may do. Times in seconds; a count of 0 means no limit."""

    head: HeadLimits
    connections: int = 10_000
    requests_per_connection: int = 0
    request_head: float = 10.0
    request_body: float = 30.0
    idle: float = 75.0
