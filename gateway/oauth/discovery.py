"""Authorization server metadata: where an issuer's keys are (RFC 8414, OpenID Connect Discovery 1.0).

Knows nothing of keys; every address it finds is only as good as the document it stood in.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.oauth.client import IssuerClient, IssuerFailure


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the gateway uses of an issuer's metadata. `address` is where it was found."""

    address: str
    jwks_uri: str


def metadata_addresses(issuer: str) -> list[str]:
    """Where the metadata may be, in the order of asking: RFC 8414 §3.1, then both forms of OpenID's document."""
    parts = urlsplit(issuer)
    origin = f"{parts.scheme}://{parts.netloc}"
    path = parts.path.rstrip("/")
    inserted = [
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
    ]
    appended = f"{origin}{path}/.well-known/openid-configuration"
    return list(dict.fromkeys([*inserted, appended]))


async def discover(client: IssuerClient, issuer: str, address: str | None = None) -> Metadata:
    """Fetch the metadata from `address`, or from where the standards put it. Raises `IssuerFailure`, the last one."""
    failure = IssuerFailure("address", "no address to ask")
    for candidate in [address] if address is not None else metadata_addresses(issuer):
        try:
            return await _metadata(client, issuer, candidate)
        except IssuerFailure as problem:
            failure = problem
            if problem.kind in ("timeout", "unreachable"):
                raise  # it is the same server at every address
    raise failure


async def _metadata(client: IssuerClient, issuer: str, address: str) -> Metadata:
    members = (await client.fetch(address)).members
    if members.get("issuer") != issuer:
        # RFC 8414 §3.3: else one issuer's metadata could send us to another one's keys.
        raise IssuerFailure("issuer", "the metadata is that of another issuer")
    jwks_uri = members.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise IssuerFailure("metadata", "the metadata has no jwks_uri")
    return Metadata(address, jwks_uri)
