"""The grants and endpoints of the development authorization server, on authlib: it decides, `server` speaks HTTP."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from gateway.devauth.clients import Client
from gateway.devauth.tokens import AccessTokens, IssuedToken

Answer = tuple[int, dict[str, Any], list[tuple[str, str]]]

_METHODS = ["client_secret_basic", "client_secret_post"]


class FormRequest(OAuth2Request):  # type: ignore[misc]  # authlib has no types
    """A POST with a form, as authlib wants to see it."""

    def __init__(self, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
        # authlib refuses plain http, which is right everywhere but here: this server listens on loopback alone.
        super().__init__("POST", "https://localhost/", headers=headers)
        self._form = dict(form)
        self.payload = BasicOAuth2Payload(self._form)

    @property
    def form(self) -> dict[str, str]:
        """The parameters of the body."""
        return self._form

    @property
    def args(self) -> dict[str, str]:
        """Parameters of the query never count."""
        return {}


class _ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = _METHODS

    def validate_requested_scope(self) -> None:
        """A scope the client may not have is an error, not silently less (RFC 6749 §5.2)."""
        wanted = set((self.request.payload.scope or "").split(" ")) - {""}
        if not wanted <= self.request.client.scopes:
            raise InvalidScopeError()


class _Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = _METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> IssuedToken | None:
        return self.server.tokens.find(token_string)  # type: ignore[no-any-return]

    def check_permission(self, token: IssuedToken, client: Client, request: FormRequest) -> bool:
        return True  # every client registered here may play the resource server

    def introspect_token(self, token: IssuedToken) -> dict[str, Any]:
        # No claim of a client may stand for what the server itself says (RFC 7662 §2.2).
        return {**token.claims, "active": True, "token_type": "Bearer"}


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = _METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> IssuedToken | None:
        return self.server.tokens.find(token_string)  # type: ignore[no-any-return]

    def revoke_token(self, token: IssuedToken, request: FormRequest) -> None:
        token.revoked = True


class Grants(AuthorizationServer):  # type: ignore[misc]
    """What the server can do: client credentials, introspection, revocation."""

    def __init__(self, clients: Iterable[Client], tokens: AccessTokens) -> None:
        super().__init__()
        self.clients = {client.client_id: client for client in clients}
        self.tokens = tokens
        self.register_client_auth_method("client_secret_basic", _authenticate_basic)
        self.register_token_generator("default", self._bearer_token)
        self.register_grant(_ClientCredentials)
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)

    def token(self, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The token endpoint (RFC 6749 §3.2)."""
        request = FormRequest(form, headers)
        if "grant_type" not in form:
            return self._refusal(request, InvalidRequestError("grant_type is missing"))
        return self.create_token_response(request)  # type: ignore[no-any-return]

    def endpoint(self, name: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The endpoint of that name: `introspection` (RFC 7662) or `revocation` (RFC 7009)."""
        # There is one type of token, so the hint may be ignored (RFC 7009 §2.1); authlib answers 401 to a strange one.
        told = {parameter: value for parameter, value in form.items() if parameter != "token_type_hint"}
        return self.create_endpoint_response(name, FormRequest(told, headers))  # type: ignore[no-any-return]

    def authenticate_client(self, request: FormRequest, methods: list[str], endpoint: str = "token") -> Client:
        """The client, by one method of `methods` and no second one (RFC 6749 §2.3). Raises `OAuth2Error`."""
        if "Authorization" in request.headers and "client_secret" in request.form:
            raise InvalidRequestError("the client authenticates in two ways")
        try:
            client: Client = super().authenticate_client(request, methods, endpoint)
        except InvalidClientError:
            # One answer, whether the client or its secret is unknown (RFC 6749 §5.2).
            raise InvalidClientError("client_id or client_secret is wrong", status_code=401) from None
        if request.form.get("client_id", client.client_id) != client.client_id:
            raise InvalidRequestError("client_id is not that of the authenticated client")
        return client

    def query_client(self, client_id: str) -> Client | None:
        """The client of that id, as authlib asks for it."""
        return self.clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: FormRequest) -> None:
        """Nothing to do: `AccessTokens` has kept it."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        """It is one already."""
        return request

    def handle_response(self, status: int, body: dict[str, Any], headers: list[tuple[str, str]]) -> Answer:
        """Left to `server`, which speaks HTTP."""
        return status, body, headers

    def _refusal(self, request: FormRequest, error: OAuth2Error) -> Answer:
        return self.handle_error_response(request, error)  # type: ignore[no-any-return]

    def _bearer_token(self, *, client: Client, scope: str | None = None, **_: Any) -> dict[str, Any]:
        token = self.tokens.issue(client, client.get_allowed_scope(scope))
        return {
            "access_token": token.value,
            "token_type": "Bearer",
            "expires_in": token.get_expires_in(),
            "scope": token.get_scope(),
        }


def _authenticate_basic(query_client: Any, request: FormRequest) -> Client | None:
    """client_secret_basic: both parts are form-encoded before base64 (RFC 6749 §2.3.1); authlib leaves `+` as it is."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except ValueError:
        return None
    client: Client | None = query_client(unquote_plus(client_id))
    return client if client is not None and client.check_client_secret(unquote_plus(secret)) else None
