"""ID tokens: who signed in, when, and for which client (OpenID Connect Core §2, §3.1.3.6, §12.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oidc.core import OpenIDToken
from joserfc.errors import JoseError

from gateway.devauth.clients import Client
from gateway.devauth.requests import ParameterRequest
from gateway.devauth.tokens import Tokens
from gateway.devauth.users import User


class IdTokens(OpenIDToken):  # type: ignore[misc]  # authlib has no types
    """Puts one into each token response for a user who was asked for `openid`."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def resolve_client_private_key(self, client: Client) -> Any:
        """The key that signs."""
        return self._tokens.keys.current

    def get_client_algorithm(self, client: Client) -> str:
        """That key's algorithm."""
        return self._tokens.keys.algorithm

    def get_encode_header(self, client: Client) -> dict[str, Any]:
        """`kid` too, since there may be several keys."""
        return {"typ": "JWT", "alg": self._tokens.keys.algorithm, "kid": self._tokens.keys.current.kid}

    def get_compatible_claims(self, request: ParameterRequest) -> dict[str, Any]:
        """All but the user's claims. The nonce comes back once: on a refresh the client has none to compare."""
        authorization = request.authorization
        assert authorization is not None
        now = int(self._tokens.clock())
        claims = {
            "iss": self._tokens.issuer,
            "aud": authorization.client.client_id,
            "iat": now,
            "exp": now + authorization.client.lifetimes.access,
            "auth_time": authorization.auth_time,
        }
        if authorization.nonce is not None and request.refresh_token is None:
            claims["nonce"] = authorization.nonce
        return claims

    def get_authorization_code_claims(self, authorization_code: object) -> dict[str, Any]:
        """Nothing more."""
        return {}

    def generate_user_info(self, user: User, scope: str) -> dict[str, Any]:
        """The user's claims, as far as the scopes allow; none of them stands for what the server says."""
        kept = {"iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash"}
        return {name: value for name, value in user.information(scope).items() if name not in kept}


def claims_of_hint(parameters: Mapping[str, str], tokens: Tokens) -> dict[str, Any]:
    """What the ID token in `id_token_hint` says, be its time over or not; nothing when there is none.

    Raises `InvalidRequestError` for what is no ID token of this server (OpenID Connect Core §3.1.2.1).
    """
    if "id_token_hint" not in parameters:
        return {}
    try:
        claims = tokens.keys.verified(parameters["id_token_hint"])
    except (JoseError, ValueError):
        claims = {}
    # An access token has a `jti` and an API for its audience.
    if claims.get("iss") != tokens.issuer or "jti" in claims:
        raise InvalidRequestError("id_token_hint is no ID token of this server")
    return claims
