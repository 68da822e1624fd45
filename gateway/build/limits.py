"""From the `limits` and `timeouts` of the configuration to what clients of the traffic port may do."""

from __future__ import annotations

from gateway.build.crew import ALONE, Crew
from gateway.config import Config
from gateway.http.framing import HeadLimits
from gateway.http.server_limits import ServerLimits


def server_limits(config: Config, crew: Crew = ALONE) -> ServerLimits:
    """What clients of the traffic port may do, at one worker: the connections of all are shared out evenly."""
    return ServerLimits(
        head_limits(config),
        connections=crew.share(config.limits.connections),
        requests_per_connection=config.limits.requests_per_connection,
        request_head=config.timeouts.request_head,
        request_body=config.timeouts.request_body,
        idle=config.timeouts.idle,
    )


def head_limits(config: Config) -> HeadLimits:
    """How large the head of a request may be."""
    limits = config.limits
    return HeadLimits(limits.request_target, limits.request_head, limits.headers)
