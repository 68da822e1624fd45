"""Opens a WebSocket to an upstream for a client that may have one (RFC 6455 §4): what is asked there, and what comes of
the answer.
"""

from __future__ import annotations

from gateway.http import websocket_handshake
from gateway.http.client import Connection, Disconnected, UpstreamResponse
from gateway.http.message import Fields, Request
from gateway.http.switching import Switching
from gateway.http.websocket_handshake import Handshake, HandshakeInvalid
from gateway.http.websocket_relay import Relay
from gateway.upstream.fields import ResponseFields


def without_handshake(request: Request) -> Request:
    """The same request without what the handshake is made of, which the gateway writes anew."""
    others = websocket_handshake.others(request.fields.raw)
    fields = [field for field in others if field[0].lower() != b"content-length"]  # of 0: there is no body
    return Request(request.method, request.target, Fields(fields), None, request.peer, request.scheme, request.version)


def switching(
    handshake: Handshake, answer: UpstreamResponse, connection: Connection, passing: ResponseFields
) -> Switching:
    """The 101 for the client, with the relay that follows it.

    Raises `HandshakeInvalid` or `Disconnected`, and then the upstream's connection is closed.
    """
    transport = connection.detach()
    try:
        if transport.is_closing():
            raise Disconnected("the origin closed the connection behind its handshake")
        agreement = websocket_handshake.check_answer(handshake, answer.fields)
    except (HandshakeInvalid, Disconnected):
        transport.abort()
        raise
    fields = [*agreement.fields, *passing.of(websocket_handshake.others(answer.fields))]
    return Switching(fields, Relay(connection, answer.body, compressed=agreement.compressed))
