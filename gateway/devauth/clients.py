"""The clients an authorization server knows (RFC 6749 §2)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from authlib.oauth2.rfc6749 import ClientMixin


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):  # type: ignore[misc]  # authlib has no types
    """A confidential client. `claims` go into its tokens; `lifetime` of an access token is in seconds.

    `access_token` is the form of its tokens: a JWT, or a random value that tells nothing and must be introspected.
    """

    client_id: str
    client_secret: str = field(repr=False)
    scopes: frozenset[str]
    audience: str
    grant_types: frozenset[str] = frozenset({"client_credentials"})
    lifetime: int = 3600
    claims: Mapping[str, Any] = field(default_factory=dict)
    access_token: Literal["jwt", "opaque"] = "jwt"

    def get_client_id(self) -> str:
        """`client_id`, as authlib asks for it."""
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        """What is granted: the scopes asked for, or all of the client's (RFC 6749 §3.3)."""
        return " ".join(sorted(set((scope or "").split()) or self.scopes))

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare in constant time; as bytes, since texts beyond ASCII can't be."""
        return hmac.compare_digest(self.client_secret.encode(), client_secret.encode("utf-8", "replace"))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Basic or post, as RFC 6749 §2.3.1 has them."""
        return method in ("client_secret_basic", "client_secret_post")

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether the client may use this grant."""
        return grant_type in self.grant_types
