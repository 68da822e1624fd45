"""Seals what is kept in a shared store, so that whoever can read or write there can neither use nor forge it.

AES-256-GCM under keys from HKDF-SHA256 (RFC 5116, RFC 5869). It does not know which store that is, or what is sealed.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION: Final = b"\x01"
_KEY: Final = 32
_NONCE: Final = 12
_LEAST_SECRET: Final = 32
_UNTIL: Final = struct.Struct(">d")
_LENGTH: Final = struct.Struct(">Q")
_BODY: Final = len(_VERSION) + _NONCE


class Sealer:
    """Authenticated encryption with the first of the secrets; what any of them sealed opens, so that they can rotate.

    Raises ValueError, which names the position (from 1), when a secret is shorter than 32 bytes or there is none.
    """

    __slots__ = ("_keys", "_random")

    def __init__(self, secrets: Sequence[bytes], *, random: Callable[[int], bytes] = os.urandom) -> None:
        if not secrets:
            raise ValueError("sealing needs a secret")
        for position, secret in enumerate(secrets, 1):
            if len(secret) < _LEAST_SECRET:
                raise ValueError(f"secret {position} has fewer than {_LEAST_SECRET} bytes")
        self._keys = tuple(_Keys(secret) for secret in secrets)
        self._random = random

    def seal(self, name: str, value: bytes, until: float) -> bytes:
        """The value as it may stand in the store under `name`, until that moment in seconds since the epoch."""
        nonce = self._random(_NONCE)
        body = self._keys[0].cipher(name).encrypt(nonce, _UNTIL.pack(until) + value, _associated(name))
        return _VERSION + nonce + body

    def open(self, name: str, sealed: bytes, now: float) -> bytes | None:
        """The value; None when it was not sealed here for this name, or its time is over. Never raises."""
        if sealed[: len(_VERSION)] != _VERSION or len(sealed) < _BODY:
            return None
        for keys in self._keys:
            try:
                opened = keys.cipher(name).decrypt(sealed[len(_VERSION) : _BODY], sealed[_BODY:], _associated(name))
            except InvalidTag:
                continue
            return _unless_over(opened, now)
        return None

    def names(self, kind: str, *parts: bytes) -> list[str]:
        """The names in the store for these parts, one for each secret: the first to write, all of them to look under.

        A name tells nothing of the parts, which may be a token: `kind`, and an HMAC-SHA256 in hexadecimal.
        """
        # Each length goes first, so that no two lists of parts are the same message.
        message = b"".join(_LENGTH.pack(len(part)) + part for part in (kind.encode("utf-8"), *parts))
        return [f"{kind}:{hmac.digest(keys.names, message, 'sha256').hex()}" for keys in self._keys]

    def name(self, kind: str, *parts: bytes) -> str:
        """The name to write under: the first of `names`."""
        return self.names(kind, *parts)[0]

    def __repr__(self) -> str:
        return f"Sealer({len(self._keys)} secrets)"


class _Keys:
    """What is derived from one secret."""

    __slots__ = ("_entries", "names")

    def __init__(self, secret: bytes) -> None:
        self._entries = _derived(secret, b"oauth-gateway shared store: entries")
        self.names = _derived(secret, b"oauth-gateway shared store: names")

    def cipher(self, name: str) -> AESGCM:
        # A key for each name: random nonces under one key are good for 2^32 entries (NIST SP 800-38D §8.3), which a
        # busy fleet writes within days. It costs some 3 microseconds.
        return AESGCM(hmac.digest(self._entries, name.encode("utf-8"), "sha256"))


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY, salt=None, info=purpose).derive(secret)


def _associated(name: str) -> bytes:
    return _VERSION + name.encode("utf-8")


def _unless_over(opened: bytes, now: float) -> bytes | None:
    """The store may keep an entry for too long, and whoever writes there may put an old one back."""
    if len(opened) < _UNTIL.size:
        return None
    (until,) = _UNTIL.unpack_from(opened)
    return opened[_UNTIL.size :] if now < until else None
