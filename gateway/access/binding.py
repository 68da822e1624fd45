"""Sender-constrained tokens (RFC 9449 §7, RFC 8705 §3): a bound token must never pass as a plain bearer token.

This gateway verifies neither DPoP proofs nor client certificates yet, so a bound token is always refused.
"""

from __future__ import annotations

from gateway import errors
from gateway.errors import GatewayError
from gateway.oauth.tokens import Credential, Token


def check_binding(credential: Credential, token: Token) -> None:
    """Refuse a token that names a confirmation key, and a plain token that claims to be bound."""
    if "cnf" in token.claims:
        raise GatewayError(errors.BINDING_MISMATCH, "the token has cnf, and proofs of possession are not supported yet")
    if credential.scheme != "bearer":
        raise GatewayError(errors.BINDING_MISMATCH, "sent as DPoP, but the token is bound to no key")
