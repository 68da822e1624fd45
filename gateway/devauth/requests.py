"""What authlib wants to see of a request: its parameters, and on whose authority tokens are asked for."""

from __future__ import annotations

from collections.abc import Mapping

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload, JsonPayload, JsonRequest

from gateway.devauth.tokens import Authorization


class ParameterRequest(OAuth2Request):  # type: ignore[misc]  # authlib has no types
    """Parameters of a form or of a query, each of them once."""

    def __init__(self, parameters: Mapping[str, str], headers: Mapping[str, str] | None = None) -> None:
        # authlib refuses plain http, which is right everywhere but here: `addresses` has judged the issuer.
        super().__init__("POST", "https://localhost/", headers=headers or {})
        self._form = dict(parameters)
        self.payload = BasicOAuth2Payload(self._form)
        self.authorization: Authorization | None = None
        """What the code, refresh token or device code of the request came from, once it was found good."""

    @property
    def form(self) -> dict[str, str]:
        """The parameters."""
        return self._form

    @property
    def args(self) -> dict[str, str]:
        """Parameters of the query never count where a form is asked for."""
        return {}


class DocumentRequest(JsonRequest):  # type: ignore[misc]
    """A JSON object that was sent."""

    def __init__(self, document: Mapping[str, object]) -> None:
        super().__init__("POST", "https://localhost/")
        self.payload = _Document(document)


class _Document(JsonPayload):  # type: ignore[misc]
    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = dict(document)

    @property
    def data(self) -> dict[str, object]:
        return self._document
