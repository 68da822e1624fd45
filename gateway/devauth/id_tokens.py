"""ID tokens: who signed in, when, and for which client (OpenID Connect Core §2, §3.1.3.6, §12.2)."""

from __future__ import annotations

from typing import Any

from authlib.oidc.core import OpenIDToken

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
