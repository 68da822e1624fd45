"""What the connection of a client knows of the server it was made by."""

from __future__ import annotations

from typing import Protocol

from gateway.http.message import Begin, Handler
from gateway.http.request_parser import KnownFields
from gateway.http.server_limits import ServerLimits
from gateway.http.switching import Connected


class Server(Protocol):
    """What a connection needs to know of its server."""

    handler: Handler
    begin: Begin | None
    limits: ServerLimits
    scheme: str
    is_draining: bool
    known_fields: KnownFields
    connections: set[Connected]
