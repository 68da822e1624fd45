"""The authorization code grant (RFC 6749 §4.1): who may ask, and what a code is good for."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant

from gateway.devauth.authentication import METHODS
from gateway.devauth.clients import Client
from gateway.devauth.codes import Code
from gateway.devauth.issuing import IssuesTokens
from gateway.devauth.requests import ParameterRequest
from gateway.devauth.tokens import Authorization
from gateway.devauth.users import User


class CodeGrant(IssuesTokens, AuthorizationCodeGrant):  # type: ignore[misc]  # authlib has no types
    """One request at the authorization or token endpoint."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    @staticmethod
    def validate_authorization_redirect_uri(request: ParameterRequest, client: Client) -> str:
        """Where the answer goes. Raises `InvalidRequestError`, which then must go nowhere (RFC 6749 §4.1.2.1)."""
        asked = request.payload.redirect_uri
        if asked is None:
            asked = client.get_default_redirect_uri()
            if asked is None:
                raise InvalidRequestError("redirect_uri is missing")
        # Not authlib's check: its message repeats what was sent.
        if not client.check_redirect_uri(asked):
            raise InvalidRequestError("redirect_uri is not registered for this client")
        return str(asked)

    @property
    def scope(self) -> str:
        """What is asked for, or what the client gets without asking."""
        return str(self.client.get_allowed_scope(self.request.payload.scope))

    def issue_code(self, user: User, auth_time: int) -> str:
        """A code for what the user has just allowed (RFC 6749 §4.1.2)."""
        parameters = self.request.form
        authorization = Authorization(self.client, self.scope, user, auth_time, parameters.get("nonce"))
        code: str = self.server.codes.issue(
            authorization,
            parameters.get("redirect_uri"),
            parameters.get("code_challenge"),
            parameters.get("code_challenge_method"),
        )
        return code

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """The code, as authlib asks for it."""
        found: Code | None = self.server.codes.redeemable(code, client)
        if found is not None:
            self.request.authorization = found.authorization
        return found

    def authenticate_user(self, authorization_code: Code) -> User | None:
        """Who allowed it."""
        return authorization_code.authorization.user

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """It is used. It stays known, so that a second use can be seen."""
        authorization_code.is_used = True

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Nothing to do: `issue_code` has kept it."""
