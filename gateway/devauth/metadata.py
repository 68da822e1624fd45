"""What the server says of itself (RFC 8414, OpenID Connect Discovery, RFC 9207)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from authlib.oidc.core import UserInfo

from gateway.devauth.authentication import CONFIDENTIAL, METHODS
from gateway.devauth.clients import GRANT_TYPES
from gateway.devauth.keys import Algorithm
from gateway.devauth.pkce import METHOD


def metadata(issuer: str, scopes: Iterable[str], algorithm: Algorithm) -> dict[str, Any]:
    """The document, for both well-known addresses: each specification ignores what is the other's."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "device_authorization_endpoint": f"{issuer}/device_authorization",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "registration_endpoint": f"{issuer}/register",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "end_session_endpoint": f"{issuer}/end-session",
        "jwks_uri": f"{issuer}/jwks",
        "scopes_supported": sorted(scopes),
        "claims_supported": ["iss", "aud", "exp", "iat", "auth_time", "nonce", *UserInfo.REGISTERED_CLAIMS],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": sorted(GRANT_TYPES),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
        "code_challenge_methods_supported": [METHOD],
        "token_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint_auth_methods_supported": CONFIDENTIAL,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "authorization_response_iss_parameter_supported": True,
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
