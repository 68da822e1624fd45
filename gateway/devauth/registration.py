"""Dynamic client registration (RFC 7591): any program on this machine may become a client; users are told so."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint, InvalidClientMetadataError, InvalidRedirectURIError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.devauth import redirects, scopes
from gateway.devauth.clients import GRANT_TYPES, Client
from gateway.devauth.requests import DocumentRequest

_SECRET_BYTES = 32
_NO_CONTROLS = r"^[^\x00-\x1f\x7f]+$"


class _Metadata(BaseModel):
    """RFC 7591 §2, as far as it says something here. What is not understood is ignored, as §2 demands."""

    model_config = ConfigDict(strict=True, extra="ignore")

    redirect_uris: list[str] = Field(default=[], max_length=20)
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post", "none"] = "client_secret_basic"
    grant_types: list[str] = Field(default=["authorization_code"], min_length=1, max_length=10)
    response_types: list[str] | None = Field(default=None, max_length=10)
    client_name: str | None = Field(default=None, max_length=200, pattern=_NO_CONTROLS)
    scope: str | None = Field(default=None, max_length=2000)


class Registration(ClientRegistrationEndpoint):  # type: ignore[misc]  # authlib has no types
    """The registration endpoint. It is open, for the server is this machine's alone."""

    def authenticate_token(self, request: DocumentRequest) -> str:
        """Nobody needs an initial access token (RFC 7591 §3)."""
        return "open"

    def extract_client_metadata(self, request: DocumentRequest) -> dict[str, Any]:
        """What is registered, with the defaults filled in. Raises `OAuth2Error` as RFC 7591 §3.2.2 has them."""
        try:
            metadata = _Metadata.model_validate(request.payload.data)
        except ValidationError as invalid:
            raise _refusal(invalid) from None
        is_public = metadata.token_endpoint_auth_method == "none"
        if not set(metadata.grant_types) <= GRANT_TYPES:
            raise InvalidClientMetadataError("a grant type is not supported")
        if is_public and "client_credentials" in metadata.grant_types:
            raise InvalidClientMetadataError("client_credentials are for clients with a secret")
        uses_code = "authorization_code" in metadata.grant_types
        response_types = ["code"] if uses_code else []
        if metadata.response_types is not None and metadata.response_types != response_types:
            raise InvalidClientMetadataError("response_types and grant_types do not go together")
        self._check_redirect_uris(metadata.redirect_uris, are_needed=uses_code)
        known: frozenset[str] = self.server.clients.scopes
        if not scopes.parse(metadata.scope) <= known:
            raise InvalidClientMetadataError("a scope is unknown")
        return {
            **metadata.model_dump(exclude_none=True),
            "response_types": response_types,
            "scope": metadata.scope or " ".join(sorted(known)),
        }

    def generate_client_info(self, request: DocumentRequest) -> dict[str, Any]:
        """Id and time of issue; the secret is made when it is known whether there is one."""
        return {"client_id": secrets.token_urlsafe(16), "client_id_issued_at": int(self.server.tokens.clock())}

    def save_client(
        self, client_info: dict[str, Any], client_metadata: dict[str, Any], request: DocumentRequest
    ) -> Client:
        """Keep it until the server ends."""
        is_public = client_metadata["token_endpoint_auth_method"] == "none"
        client = Client(
            client_info["client_id"],
            None if is_public else secrets.token_urlsafe(_SECRET_BYTES),
            scopes.parse(client_metadata["scope"]),
            self.server.audience,
            grant_types=frozenset(client_metadata["grant_types"]),
            redirect_uris=tuple(client_metadata["redirect_uris"]),
            name=client_metadata.get("client_name", ""),
            registered_itself=True,
        )
        self.server.clients.register(client)
        return client

    def generate_client_registration_info(self, client: Client, request: DocumentRequest) -> dict[str, Any]:
        """The secret, which is told this once (RFC 7591 §3.2.1); 0: it does not expire."""
        return {} if client.is_public else {"client_secret": client.client_secret, "client_secret_expires_at": 0}

    @staticmethod
    def _check_redirect_uris(uris: list[str], *, are_needed: bool) -> None:
        if are_needed and not uris:
            raise InvalidRedirectURIError("redirect_uris is missing")
        for uri in uris:
            if uri == redirects.ANY_LOOPBACK or redirects.mistake_in(uri) is not None:
                raise InvalidRedirectURIError("a redirection URI is neither https, loopback http nor com.example:/path")


def _refusal(invalid: ValidationError) -> InvalidRedirectURIError | InvalidClientMetadataError:
    members = {str(error["loc"][0]) for error in invalid.errors() if error["loc"]}
    if members == {"redirect_uris"}:
        return InvalidRedirectURIError("redirect_uris must be a list of texts")
    known = sorted(members & set(_Metadata.model_fields))
    return InvalidClientMetadataError(f"not as RFC 7591 section 2 has it: {', '.join(known) or 'the document'}")
