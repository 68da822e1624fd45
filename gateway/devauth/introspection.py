"""Introspection (RFC 7662) and revocation (RFC 7009) of the tokens that were issued here."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from gateway.devauth.authentication import CONFIDENTIAL, METHODS
from gateway.devauth.clients import Client
from gateway.devauth.requests import ParameterRequest
from gateway.devauth.tokens import IssuedToken


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]  # authlib has no types
    """For every client with a secret: each may play the resource server."""

    CLIENT_AUTH_METHODS = CONFIDENTIAL

    def query_token(self, token_string: str, token_type_hint: str | None) -> IssuedToken | None:
        """The token, of either kind."""
        return self.server.tokens.find(token_string) or self.server.tokens.find_refresh(token_string)  # type: ignore[no-any-return]

    def check_permission(self, token: IssuedToken, client: Client, request: ParameterRequest) -> bool:
        """A refresh token is active for its own client alone: no API may take it for an access token."""
        return not token.is_refresh_token or token.check_client(client)

    def introspect_token(self, token: IssuedToken) -> dict[str, Any]:
        """What is behind it. No claim of a client may stand for what the server itself says (RFC 7662 §2.2)."""
        kind = {} if token.is_refresh_token else {"token_type": "Bearer"}
        user = token.authorization.user
        name = {"username": user.name} if user is not None else {}
        return {**token.claims, **name, "active": True, **kind}


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """For every client, and its own tokens alone."""

    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> IssuedToken | None:
        """The token, of either kind."""
        return self.server.tokens.find(token_string) or self.server.tokens.find_refresh(token_string)  # type: ignore[no-any-return]

    def revoke_token(self, token: IssuedToken, request: ParameterRequest) -> None:
        """Withdraw it."""
        token.revoke()
