"""Proof Key for Code Exchange: whoever redeems a code is whoever asked for it (RFC 7636). Knows only S256."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from gateway.oauth.jose import b64url_encode

METHOD: Final = "S256"

_VERIFIER_BYTES = 32


def new_verifier(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A verifier for one authorization request: 256 bits in 43 characters (RFC 7636 §4.1)."""
    return b64url_encode(random_bytes(_VERIFIER_BYTES))


def challenge(verifier: str) -> str:
    """What the authorization request shows of the verifier (RFC 7636 §4.2)."""
    return b64url_encode(hashlib.sha256(verifier.encode("ascii")).digest())
