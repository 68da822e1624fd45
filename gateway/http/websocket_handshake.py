"""The opening handshake of a WebSocket, read strictly on both sides of a gateway (RFC 6455 §4, RFC 7692 §5).

The client's handshake is checked before anybody else sees it, and written anew for the origin; the origin's answer is
checked before the client hears of it. Extensions and subprotocols are agreed on between these two.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.headers import fold
from gateway.http.message import Field, Fields, Request
from gateway.http.response_parser import ResponseInvalid

VERSION: Final = b"13"

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# 16 bytes in base64 (RFC 6455 §4.1).
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_TOKEN_CHARACTERS: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TOKEN: Final = re.compile(_TOKEN_CHARACTERS)
# RFC 6455 §9.1: a value in quotes is a token too.
_EXTENSION: Final = re.compile(rb'(%b)(?:[ \t]*;[ \t]*%b(?:=(?:%b|"%b"))?)*' % ((_TOKEN_CHARACTERS,) * 4))
# RFC 6455 §4.4, RFC 9110 §15.5.22: what to ask for instead.
_UPGRADE: Final = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", VERSION))
_PREFIX: Final = b"sec-websocket-"
_DEFLATE: Final = b"permessage-deflate"


class HandshakeInvalid(ResponseInvalid):
    """The origin switched protocols, and not as RFC 6455 §4.1 asks."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asks for. `protocols` and `extensions` are the field values as sent."""

    key: bytes
    protocols: tuple[bytes, ...]
    extensions: tuple[bytes, ...]

    @property
    def lines(self) -> bytes:
        """The header lines of the same handshake, as they go to the origin."""
        names = [(b"Sec-WebSocket-Key", self.key), (b"Sec-WebSocket-Version", VERSION)]
        names += [(b"Sec-WebSocket-Protocol", value) for value in self.protocols]
        names += [(b"Sec-WebSocket-Extensions", value) for value in self.extensions]
        return b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + b"".join(b"%b: %b\r\n" % field for field in names)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an origin agreed to. `fields` say it to the client."""

    fields: tuple[Field, ...]
    compressed: bool
    """Whether permessage-deflate is in use, so that the first reserved bit has a meaning (RFC 7692 §6)."""


def is_asked_for(fields: Fields) -> bool:
    """Whether a request means to open a WebSocket; another Upgrade is none of ours, and is ignored (RFC 9110 §7.8)."""
    return b"websocket" in _members(fields.values(b"upgrade"))


def read(request: Request) -> Handshake:
    """The handshake that a request is (RFC 6455 §4.2.1). Raises `GatewayError`: 400, or 426 for another version."""
    fields = request.fields
    if request.method != "GET" or request.version != (1, 1):
        raise _invalid("not GET with HTTP/1.1")
    if b"upgrade" not in _members(fields.values(b"connection")):
        raise _invalid("Connection does not name upgrade")
    if request.body is not None:
        # Whoever takes the handshake and whoever does not would find its end in different places.
        raise _invalid("a body")
    versions = fields.values(b"sec-websocket-version")
    if len(versions) > 1:
        raise _invalid("more than one Sec-WebSocket-Version")
    if not versions or versions[0] != VERSION:
        raise GatewayError(errors.WEBSOCKET_VERSION, "Sec-WebSocket-Version is not 13", fields=_UPGRADE)
    keys = fields.values(b"sec-websocket-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise _invalid("not exactly one Sec-WebSocket-Key of 16 bytes in base64")
    handshake = Handshake(
        keys[0], tuple(fields.values(b"sec-websocket-protocol")), tuple(fields.values(b"sec-websocket-extensions"))
    )
    _check_offers(handshake)
    return handshake


def others(fields: Iterable[Field]) -> list[Field]:
    """The fields of a message that are not the handshake's, in no spelling that somebody takes for it."""
    return [field for field in fields if not fold(field[0]).startswith(_PREFIX)]


def check_answer(handshake: Handshake, received: Sequence[Field]) -> Agreement:
    """What the origin's 101 agrees to (RFC 6455 §4.1). Raises `HandshakeInvalid`."""
    fields = Fields(received)
    if [value.lower() for value in fields.values(b"upgrade")] != [b"websocket"]:
        raise HandshakeInvalid("101, but to another protocol")
    if b"upgrade" not in _members(fields.values(b"connection")):
        raise HandshakeInvalid("101 without Connection: upgrade")
    expected = accept(handshake.key)
    if list(fields.values(b"sec-websocket-accept")) != [expected]:
        raise HandshakeInvalid("Sec-WebSocket-Accept does not fit the key")
    agreed: list[Field] = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", expected),
    ]
    if (protocol := _protocol(handshake, fields)) is not None:
        agreed.append((b"Sec-WebSocket-Protocol", protocol))
    values = fields.values(b"sec-websocket-extensions")
    agreed += [(b"Sec-WebSocket-Extensions", value) for value in values]
    return Agreement(tuple(agreed), _DEFLATE in _accepted(handshake, values))


def accept(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for a key (RFC 6455 §4.2.2)."""
    # Not for security, and RFC 6455 names no other: it shows that the answer was made for this handshake.
    return base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())


def _protocol(handshake: Handshake, fields: Fields) -> bytes | None:
    chosen = fields.values(b"sec-websocket-protocol")
    if not chosen:
        return None
    if len(chosen) > 1 or chosen[0] not in _split(handshake.protocols):
        raise HandshakeInvalid("a subprotocol that was not offered")
    return chosen[0]


def _accepted(handshake: Handshake, values: Iterable[bytes]) -> set[bytes]:
    names = _extension_names(values)
    if names is None:
        raise HandshakeInvalid("Sec-WebSocket-Extensions can't be read")
    if len(set(names)) < len(names) or not set(names) <= set(_extension_names(handshake.extensions) or ()):
        raise HandshakeInvalid("an extension that was not offered")
    return set(names)


def _check_offers(handshake: Handshake) -> None:
    protocols = _split(handshake.protocols)
    if not all(map(_TOKEN.fullmatch, protocols)) or len(set(protocols)) < len(protocols):
        raise _invalid("Sec-WebSocket-Protocol is no list of different tokens")
    if _extension_names(handshake.extensions) is None:
        raise _invalid("Sec-WebSocket-Extensions can't be read")


def _extension_names(values: Iterable[bytes]) -> list[bytes] | None:
    """The names in a list of extensions with their parameters (RFC 6455 §9.1); None when it is none."""
    found = [_EXTENSION.fullmatch(member) for member in _split(values)]
    names = [match[1].lower() for match in found if match is not None]
    return names if len(names) == len(found) else None


def _members(values: Iterable[bytes]) -> list[bytes]:
    return [member.lower() for member in _split(values)]


def _split(values: Iterable[bytes]) -> list[bytes]:
    """The members of a list field; empty ones don't count (RFC 9110 §5.6.1)."""
    members = [member.strip(b" \t") for value in values for member in value.split(b",")]
    return [member for member in members if member]


def _invalid(evidence: str) -> GatewayError:
    return GatewayError(errors.WEBSOCKET_INVALID, f"the WebSocket handshake: {evidence}")
