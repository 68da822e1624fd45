"""The grants and endpoints of the development authorization server, on authlib: it decides, others speak HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError, InvalidRequestError, OAuth2Error
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant

from gateway.devauth import authorization_request, redirects
from gateway.devauth.authentication import CONFIDENTIAL, by_basic
from gateway.devauth.clients import GRANT_TYPES, Client, Clients
from gateway.devauth.code_grant import CodeGrant
from gateway.devauth.codes import Codes
from gateway.devauth.device import DeviceRequests
from gateway.devauth.device_grant import DeviceAuthorization, DeviceGrant
from gateway.devauth.errors import UnsupportedGrantType, is_about_the_past
from gateway.devauth.forms import Parameters
from gateway.devauth.id_tokens import IdTokens
from gateway.devauth.introspection import Introspection, Revocation
from gateway.devauth.issuing import IssuesTokens
from gateway.devauth.pkce import ProofKey
from gateway.devauth.refresh_grant import RefreshGrant
from gateway.devauth.registration import Registration
from gateway.devauth.requests import DocumentRequest, ParameterRequest
from gateway.devauth.tokens import Tokens

Answer = tuple[int, dict[str, Any], list[tuple[str, str]]]

logger = logging.getLogger(__name__)

# At debug level authlib writes tokens into its log.
logging.getLogger("authlib").setLevel(logging.INFO)


class ClientCredentials(IssuesTokens, ClientCredentialsGrant):  # type: ignore[misc]  # authlib has no types
    """The client credentials grant (RFC 6749 §4.4)."""

    TOKEN_ENDPOINT_AUTH_METHODS = CONFIDENTIAL


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the answer to an authorization request goes, and the client's `state` that goes with it."""

    client: Client
    redirect_uri: str
    state: str | None

    @property
    def is_trusted(self) -> bool:
        """Whether somebody has vouched for the address, or it is on this machine."""
        return not self.client.registered_itself or redirects.is_loopback(self.redirect_uri)


class Grants(AuthorizationServer):  # type: ignore[misc]
    """What the server can do."""

    def __init__(self, clients: Clients, tokens: Tokens, audience: str) -> None:
        super().__init__()
        self.clients = clients
        self.tokens = tokens
        self.audience = audience
        self.codes = Codes(tokens.clock)
        self.devices = DeviceRequests(tokens.clock)
        self.register_client_auth_method("client_secret_basic", by_basic)
        id_tokens = IdTokens(tokens)
        self.register_grant(CodeGrant, [ProofKey(), id_tokens])
        self.register_grant(DeviceGrant, [id_tokens])
        self.register_grant(RefreshGrant, [id_tokens])
        self.register_grant(ClientCredentials)
        for endpoint in (DeviceAuthorization, Introspection, Revocation, Registration):
            self.register_endpoint(endpoint)

    def token(self, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The token endpoint (RFC 6749 §3.2)."""
        request = ParameterRequest(form, headers)
        if "grant_type" not in form:
            return self.handle_error_response(request, InvalidRequestError("grant_type is missing"))
        if form["grant_type"] not in GRANT_TYPES:
            return self.handle_error_response(request, UnsupportedGrantType(form["grant_type"]))
        return self.create_token_response(request)  # type: ignore[no-any-return]

    def endpoint(self, name: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The endpoint of that name: `introspection`, `revocation` or `device_authorization`."""
        # A token is looked for everywhere, so the hint may be ignored (RFC 7009 §2.1); authlib answers 401 to a
        # strange one.
        told = {parameter: value for parameter, value in form.items() if parameter != "token_type_hint"}
        return self.create_endpoint_response(name, ParameterRequest(told, headers))  # type: ignore[no-any-return]

    def register_client(self, document: Mapping[str, object]) -> Answer:
        """The registration endpoint (RFC 7591 §3)."""
        return self.create_endpoint_response("client_registration", DocumentRequest(document))  # type: ignore[no-any-return]

    def destination(self, parameters: Parameters) -> Destination:
        """Where the answer to an authorization request goes (RFC 6749 §3.1.2).

        Raises `OAuth2Error` when nobody knows, and then only the user may be told (§4.1.2.1).
        """
        request = ParameterRequest(parameters.values)
        client = self.clients.find(request.payload.client_id)
        if client is None or "client_id" in parameters.repeated:
            raise InvalidClientError("client_id is missing or unknown")
        if "redirect_uri" in parameters.repeated:
            raise InvalidRequestError("redirect_uri comes twice")
        redirect_uri = CodeGrant.validate_authorization_redirect_uri(request, client)
        return Destination(client, redirect_uri, None if "state" in parameters.repeated else request.payload.state)

    def asked(self, parameters: Parameters) -> CodeGrant:
        """What an authorization request asks for (RFC 6749 §4.1.1), once all of it is found right.

        Raises `OAuth2Error`, of which the client is told.
        """
        authorization_request.check(parameters)
        return self.get_consent_grant(ParameterRequest(parameters.values))  # type: ignore[no-any-return]

    def authenticate_client(self, request: ParameterRequest, methods: list[str], endpoint: str = "token") -> Client:
        """The client, by one method of `methods` and no second one (RFC 6749 §2.3). Raises `OAuth2Error`."""
        has_header = "Authorization" in request.headers
        if has_header and "client_secret" in request.form:
            raise InvalidRequestError("the client authenticates in two ways")
        try:
            # Who tries a secret and fails is not let in as the public client that the form names.
            client: Client = super().authenticate_client(request, methods[:1] if has_header else methods, endpoint)
        except InvalidClientError:
            # One answer, whether the client or its secret is unknown (RFC 6749 §5.2).
            raise InvalidClientError("client_id or client_secret is wrong", status_code=401) from None
        if request.form.get("client_id", client.client_id) != client.client_id:
            raise InvalidRequestError("client_id is not that of the authenticated client")
        request.client = client
        return client

    def query_client(self, client_id: str) -> Client | None:
        """The client of that id, as authlib asks for it."""
        return self.clients.find(client_id)

    def handle_error_response(self, request: Any, error: OAuth2Error) -> Answer:
        """The answer to an error, noted in the log: who tests wants to know what went wrong."""
        client: Client | None = getattr(request, "client", None)
        name = client.client_id if client is not None else "unknown client"
        logger.info("refused %s: %s: %s", name, error.error, error.description)
        return super().handle_error_response(request, error)  # type: ignore[no-any-return]

    def get_error_uri(self, request: object, error: OAuth2Error) -> str | None:
        """The page about grants that are gone."""
        return self.explanation if is_about_the_past(error) else None

    @property
    def explanation(self) -> str:
        """Where the page about grants that are gone is."""
        return f"{self.tokens.issuer}/grants"

    def save_token(self, token: dict[str, Any], request: ParameterRequest) -> None:
        """Nothing to do: `Tokens` has kept it."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: ParameterRequest) -> ParameterRequest:
        """It is one already."""
        return request

    def create_json_request(self, request: DocumentRequest) -> DocumentRequest:
        """It is one already."""
        return request

    def handle_response(self, status: int, body: dict[str, Any], headers: list[tuple[str, str]]) -> Answer:
        """Left to those who speak HTTP."""
        return status, body, headers
