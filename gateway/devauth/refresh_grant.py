"""The refresh grant (RFC 6749 §6): each token is good once, and a second use ends all of its kin (RFC 9700 §4.14.2)."""

from __future__ import annotations

from authlib.oauth2.rfc6749.grants import RefreshTokenGrant

from gateway.devauth import scopes
from gateway.devauth.authentication import METHODS
from gateway.devauth.issuing import IssuesTokens
from gateway.devauth.tokens import IssuedToken
from gateway.devauth.users import User


class RefreshGrant(IssuesTokens, RefreshTokenGrant):  # type: ignore[misc]  # authlib has no types
    """One request at the token endpoint. The new refresh token keeps all scopes, whatever this access token gets."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> IssuedToken | None:
        """The token, if it is this client's and good. One that was used ends all that came from its authorization."""
        token: IssuedToken | None = self.server.tokens.find_refresh(refresh_token)
        if token is None or not token.check_client(self.request.client):
            return None
        if token.is_used:
            token.authorization.end()
        if token.is_revoked() or token.is_expired():
            return None
        self.request.authorization = token.authorization
        return token

    def _validate_token_scope(self, token: IssuedToken) -> None:
        scopes.check(self.request.payload.scope, scopes.parse(token.get_scope()))

    def authenticate_user(self, refresh_token: IssuedToken) -> User | None:
        """Who once allowed it."""
        return refresh_token.authorization.user

    def revoke_old_credential(self, refresh_token: IssuedToken) -> None:
        """It is used."""
        refresh_token.is_used = True
