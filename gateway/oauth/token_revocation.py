"""Token revocation, as a client asks for it (RFC 7009). The gateway's own deny list is another thing."""

from __future__ import annotations

from typing import Literal

from gateway.oauth.authorization_server import AuthorizationServer
from gateway.oauth.client import IssuerClient
from gateway.oauth.client_authentication import ClientAuthentication
from gateway.oauth.token_endpoint import answer_members

TokenTypeHint = Literal["access_token", "refresh_token"]


async def revoke(
    client: IssuerClient,
    server: AuthorizationServer,
    authentication: ClientAuthentication,
    token: str,
    hint: TokenTypeHint | None = None,
) -> None:
    """Have the issuer withdraw a token (RFC 7009 §2.1). A token it does not know counts as withdrawn (§2.2).

    Raises `OAuthError`, `IssuerFailure`: then the token must be taken to be alive.
    """
    endpoint = server.endpoint("revocation_endpoint")
    form = {"token": token} if hint is None else {"token": token, "token_type_hint": hint}
    headers = {"Accept": "application/json"}
    authentication.apply(endpoint, form, headers)
    reply = await client.post(endpoint, form, headers, named_at=server.metadata.address)
    if reply.status != 200:  # else whatever the body is (§2.2)
        answer_members(reply)
