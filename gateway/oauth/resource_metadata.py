"""Protected resource metadata: how a client finds out which issuer to ask, and for which scopes (RFC 9728)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

WELL_KNOWN = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """One protected part of the API: everything below `prefix`, which is empty or begins with a slash.

    `authorization_servers` are issuer identifiers, `scopes` what its routes ask for.
    """

    prefix: str
    authorization_servers: tuple[str, ...]
    scopes: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where the document is found: the well-known part goes before the path (RFC 9728 §3.1)."""
        return WELL_KNOWN + self.prefix

    def address(self, origin: str) -> str:
        """The document's URL, for the challenge (RFC 9728 §5.1)."""
        return origin + self.path

    def document(self, origin: str) -> bytes:
        """The metadata as JSON; `resource` is what the URL was built from (RFC 9728 §3.3)."""
        members: dict[str, str | Sequence[str]] = {"resource": origin + self.prefix}
        # RFC 9728 §3.2: a parameter without a value is left out.
        if self.authorization_servers:
            members["authorization_servers"] = self.authorization_servers
        if self.scopes:
            members["scopes_supported"] = self.scopes
        members["bearer_methods_supported"] = ["header"]
        return json.dumps(members).encode("utf-8")
