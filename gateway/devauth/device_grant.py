"""The device grant (RFC 8628): a device asks for codes, and then again and again for its token."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, UnauthorizedClientError
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant

from gateway.devauth import scopes
from gateway.devauth.authentication import METHODS
from gateway.devauth.clients import DEVICE_CODE
from gateway.devauth.device import INTERVAL, DeviceRequest
from gateway.devauth.issuing import IssuesTokens
from gateway.devauth.requests import ParameterRequest
from gateway.devauth.users import User


class DeviceGrant(IssuesTokens, DeviceCodeGrant):  # type: ignore[misc]  # authlib has no types
    """One poll at the token endpoint (RFC 8628 §3.4, §3.5)."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def query_device_credential(self, device_code: str) -> DeviceRequest:
        """The device's request. Raises `InvalidGrantError`, where authlib has `invalid_request`: RFC 6749 §5.2."""
        found: DeviceRequest | None = self.server.devices.of_device(device_code, self.request.client)
        if found is None:
            raise InvalidGrantError("device_code is unknown, used, or another client's")
        return found

    def query_user_grant(self, user_code: str) -> tuple[User | None, bool] | None:
        """What the user said; None while nothing was said. authlib asks once it has found the request."""
        found: DeviceRequest = self.server.devices.of_device(self.request.form["device_code"], self.request.client)
        return None if found.decision is None else (found.authorization.user, found.decision)

    def should_slow_down(self, credential: DeviceRequest) -> bool:
        """Whether the device polls too fast."""
        return credential.polls_too_fast()

    def create_token_response(self) -> Any:
        """The token, which can be had once."""
        self.request.authorization = self.request.credential.authorization
        self.request.credential.is_used = True
        return super().create_token_response()


class DeviceAuthorization(DeviceAuthorizationEndpoint):  # type: ignore[misc]
    """The device authorization endpoint (RFC 8628 §3.1, §3.2)."""

    CLIENT_AUTH_METHODS = METHODS

    def create_endpoint_response(self, request: ParameterRequest) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Both codes for a client that may have them."""
        client = self.authenticate_client(request)
        if not client.check_grant_type(DEVICE_CODE):
            raise UnauthorizedClientError("the client may not use the device grant")
        scopes.check(request.payload.scope, client.scopes)
        made: DeviceRequest = self.server.devices.make(client, client.get_allowed_scope(request.payload.scope))
        address = f"{self.server.tokens.issuer}/device"
        body = {
            "device_code": made.device_code,
            "user_code": made.user_code,
            "verification_uri": address,
            "verification_uri_complete": f"{address}?user_code={made.user_code}",
            "expires_in": client.lifetimes.device,
            "interval": INTERVAL,
        }
        return 200, body, []
