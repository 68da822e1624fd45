"""Whether a connection may carry another request behind this one (RFC 9112 §9.3, §9.6)."""

from __future__ import annotations

from gateway.http import lingering
from gateway.http.body import RequestBody
from gateway.http.message import Response


def may_persist(response: Response, body: RequestBody | None, *, is_undelimited: bool) -> bool:
    """Whether both sides know where the response ends and what is left of the request's body, if it is not whole.

    `is_undelimited`: a body without a length would end with the connection.
    """
    if response.closes or (is_undelimited and response.length is None):
        return False
    if body is None or body.is_whole:
        return True
    # A client that was never asked for its body may send it or not: what follows can't be told apart. And a large one
    # is not worth reading when nobody wants it.
    return not body.is_withheld and body.left <= lingering.SIZE
