"""Our own entry in Via, and how requests that run in a circle are told by it (RFC 9110 §7.6.3)."""

from __future__ import annotations

from collections.abc import Iterator

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.message import Fields


class Via:
    """The name of one gateway among all those that a request goes through.

    Gateways may stand one behind the other, with the same configuration even, so `name` has to be of this one alone:
    an entry with it can then only come from a request that has been here before.
    """

    __slots__ = ("_entry", "_lines")

    def __init__(self, name: str) -> None:
        pseudonym = f"oauth-gateway-{name}".encode("ascii")
        self._entry = pseudonym.lower()
        self._lines = {version: b"Via: %d.%d %b\r\n" % (*version, pseudonym) for version in ((1, 0), (1, 1))}

    def line(self, version: tuple[int, int]) -> bytes:
        """What is added to a request; `version` is the one it was received in."""
        return self._lines[version]

    def check(self, fields: Fields) -> None:
        """Raises `GatewayError` (loop_detected) for a request that has been here before."""
        if any(entry == self._entry for entry in _received_by(fields)):
            raise GatewayError(errors.LOOP_DETECTED, "Via has this gateway's own name")


def _received_by(fields: Fields) -> Iterator[bytes]:
    """Who the entries say it came through, in lower case. A comma within a comment makes an entry of no use to us."""
    for value in fields.values(b"via"):
        for entry in value.split(b","):
            words = entry.split()
            if len(words) > 1:
                yield words[1].lower()
