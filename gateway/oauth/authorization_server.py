"""An authorization server as a client sees it: its endpoints and what it can do, by its metadata (RFC 8414 §2).

Every address is checked before a secret or a browser goes there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.oauth.client import IssuerClient, IssuerFailure, check_address
from gateway.oauth.discovery import Metadata, discover


class EndpointMissing(IssuerFailure):
    """The issuer does not offer what an endpoint is for. `name` is that of the metadata's member."""

    def __init__(self, name: str) -> None:
        super().__init__("metadata", f"the metadata has no {name}")
        self.name = name


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """One issuer with its metadata. `allow_http` lets its endpoints be http beyond loopback.

    `has_certificate` says that the client comes with one, and goes to the endpoints that ask for it (RFC 8705 §5).
    """

    issuer: str
    metadata: Metadata
    allow_http: bool = False
    has_certificate: bool = False

    def endpoint(self, name: str) -> str:
        """The address of an endpoint, such as `token_endpoint`. Raises `EndpointMissing`, `IssuerFailure`."""
        address = self._members.get(name)
        if address is None:
            raise EndpointMissing(name)
        if not isinstance(address, str):
            raise IssuerFailure("metadata", f"{name} of the metadata is no text")
        try:
            check_address(address, named_at=self.metadata.address, allow_http=self.allow_http)
            has_fragment = "#" in address or not urlsplit(address).hostname
        except ValueError:
            raise IssuerFailure("metadata", f"{name} of the metadata is no URL") from None
        if has_fragment:
            # RFC 6749 §3.1, §3.2: a fragment would swallow the parameters.
            raise IssuerFailure("metadata", f"{name} of the metadata has a fragment or no host")
        return address

    @property
    def _members(self) -> Mapping[str, Any]:
        members = self.metadata.members
        aliases = members.get("mtls_endpoint_aliases") if self.has_certificate else None
        return {**members, **aliases} if isinstance(aliases, dict) else members

    def listed(self, name: str) -> Sequence[str] | None:
        """The words of a list such as `scopes_supported`; None where the metadata has none."""
        words = self.metadata.members.get(name)
        if not isinstance(words, list):
            return None
        return [word for word in words if isinstance(word, str)]

    def promises(self, name: str) -> bool:
        """Whether a member such as `authorization_response_iss_parameter_supported` is JSON true."""
        return self.metadata.members.get(name) is True


async def find_server(
    client: IssuerClient,
    issuer: str,
    address: str | None = None,
    *,
    allow_http: bool = False,
    has_certificate: bool = False,
) -> AuthorizationServer:
    """Fetch the issuer's metadata from `address`, or from where the standards put it. Raises `IssuerFailure`."""
    return AuthorizationServer(issuer, await discover(client, issuer, address), allow_http, has_certificate)
