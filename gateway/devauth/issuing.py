"""What every grant does with the tokens it gives: they belong to one authorization, and an ID token comes with them."""

from __future__ import annotations

import logging
from typing import Any

from gateway.devauth import scopes
from gateway.devauth.requests import ParameterRequest
from gateway.devauth.tokens import Authorization, Tokens

logger = logging.getLogger(__name__)


class IssuesTokens:
    """Replaces how authlib's grants make tokens, and how they judge scopes."""

    request: ParameterRequest
    server: Any

    def generate_token(
        self,
        user: object = None,
        scope: str | None = None,
        grant_type: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        """The members of a token response (RFC 6749 §5.1)."""
        tokens: Tokens = self.server.tokens
        granted = self.request.client.get_allowed_scope(scope)
        authorization = self.request.authorization or Authorization(self.request.client, granted)
        access = tokens.access(authorization, granted)
        logger.info("a token for %s by %s", authorization.client.client_id, self.request.form.get("grant_type"))
        response = {
            "access_token": access.value,
            "token_type": "Bearer",
            "expires_in": access.get_expires_in(),
            "scope": granted,
        }
        if include_refresh_token:
            response["refresh_token"] = tokens.refresh(authorization).value
        return response

    def validate_requested_scope(self) -> None:
        """Raises `InvalidScopeError` for a scope that the client may not have."""
        scopes.check(self.request.payload.scope, self.request.client.scopes)
