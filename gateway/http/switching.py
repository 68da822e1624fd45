"""A connection on which another protocol is spoken from here on (RFC 9110 §7.8): how a server hands it over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from gateway.http.message import Field, Response
from gateway.http.response_head import interim_head
from gateway.http.server_limits import ServerLimits

SWITCHING_PROTOCOLS: Final = 101


class Connected(Protocol):
    """A client's connection, as far as its server looks after it."""

    @property
    def is_idle(self) -> bool:
        """Whether it may be closed without anything being lost."""
        ...

    def close(self) -> None:
        """End it in an orderly way, soon."""
        ...

    def abort(self) -> None:
        """Cut it off."""
        ...

    def end_if_late(self, now: float) -> None:
        """Called by the server's sweep with the time of the event loop."""
        ...


@dataclass(frozen=True, slots=True)
class Handover:
    """What there is of a client's connection: `early` was sent behind the request, `is_blocked` says that the transport
    has asked to write no more, `patience` is how many seconds the client may read nothing. `upon_end` is called once,
    when the connection is gone and whatever it was connected with.
    """

    transport: asyncio.Transport
    early: bytes
    is_blocked: bool
    patience: float
    upon_end: Callable[[], None]


class Tunnel(Connected, Protocol):
    """What speaks the other protocol."""

    @property
    def received(self) -> int:
        """Bytes of the client that were passed on."""
        ...

    @property
    def sent(self) -> int:
        """Bytes that were passed on to the client."""
        ...

    def begin(self, client: Handover) -> None:
        """Take the client's connection over."""
        ...

    def end(self, code: int, reason: str = "") -> None:
        """Close it soon, with a WebSocket close code (RFC 6455 §7.4) and a reason for the client."""
        ...


class Switching(Response):
    """A 101 response. Its fields say to which protocol, `Connection` and `Upgrade` among them.

    Whoever answers with one has waited for somebody first: a request is not answered so while it is being read.
    """

    __slots__ = ("tunnel",)

    def __init__(self, fields: Sequence[Field], tunnel: Tunnel) -> None:
        super().__init__(SWITCHING_PROTOCOLS, fields)
        self.tunnel = tunnel


class Server(Protocol):
    """What is needed of a server."""

    @property
    def connections(self) -> set[Connected]:
        """The connections it looks after."""
        ...

    @property
    def is_draining(self) -> bool:
        """Whether they are to end."""
        ...

    @property
    def limits(self) -> ServerLimits:
        """What a client may do."""
        ...


def hand_over(
    server: Server, response: Switching, transport: asyncio.Transport, early: bytes, *, is_blocked: bool
) -> None:
    """Send the 101 and let its tunnel have the connection, which the server looks after as before."""
    tunnel, patience = response.tunnel, server.limits.request_body
    transport.write(interim_head(response.status, response.fields))
    server.connections.add(tunnel)
    tunnel.begin(Handover(transport, early, is_blocked, patience, partial(_ended, server, response)))
    if server.is_draining:
        tunnel.close()


def _ended(server: Server, response: Switching) -> None:
    server.connections.discard(response.tunnel)
    if response.upon_end is not None:
        response.upon_end(response.tunnel.sent, True)
