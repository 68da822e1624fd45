"""What the server says of itself is complete, valid, and true."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata

from gateway.devauth import defaults
from gateway.devauth.server import DevelopmentServer
from gateway.oauth.client import IssuerClient
from gateway.oauth.discovery import discover, metadata_addresses
from tests.devauth.visitor import Visitor
from tests.services import free_port

WELL_KNOWN = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


def as_https(document: dict[str, Any]) -> dict[str, Any]:
    """The document of a server with TLS, which the specifications take for granted."""
    return {
        name: value.replace("http://", "https://") if isinstance(value, str) else value
        for name, value in document.items()
    }


@pytest.mark.parametrize("path", WELL_KNOWN)
async def test_it_is_valid_for_both_specifications_and_open_to_pages(visitor: Visitor, path: str) -> None:
    page = await visitor.get(path)
    assert page.fields["Access-Control-Allow-Origin"] == "*"
    # As it is with the usual algorithm, which OpenID Connect demands.
    document = {**as_https(page.body), "id_token_signing_alg_values_supported": ["RS256"]}
    OpenIDProviderMetadata(document).validate()
    AuthorizationServerMetadata(document).validate()


async def test_every_endpoint_is_there(visitor: Visitor) -> None:
    document = (await visitor.get(WELL_KNOWN[0])).body
    endpoints = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(endpoints) == 9
    for endpoint in endpoints:
        statuses = {(await visitor.get(endpoint)).status, (await visitor.post(endpoint)).status}
        assert not statuses & {404, 500}, endpoint


async def test_what_it_does_not_do_it_does_not_promise(visitor: Visitor) -> None:
    document = (await visitor.get(WELL_KNOWN[0])).body
    assert document["response_types_supported"] == ["code"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert {"implicit", "password"}.isdisjoint(document["grant_types_supported"])
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["request_uri_parameter_supported"] is document["request_parameter_supported"] is False
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]


@pytest.mark.parametrize("path", ["", "/realms/dev"])
async def test_the_gateway_finds_it_by_discovery(session: aiohttp.ClientSession, path: str) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}{path}"
    server = DevelopmentServer(defaults.CLIENTS, "ES256", users=defaults.USERS, issuer=issuer)
    await server.start(port=port)
    try:
        async with IssuerClient(timeout=10) as client:
            found = await discover(client, issuer)
            assert (await client.fetch(str(found.jwks_uri))).members["keys"]
        for address in (*metadata_addresses(issuer), f"{issuer}/.well-known/oauth-authorization-server"):
            async with session.get(address) as answer:
                assert (await answer.json())["issuer"] == issuer
        # All of it works below the path.
        tokens = await Visitor(issuer, session).tokens()
        assert tokens["scope"] == "openid orders:read profile"
    finally:
        await server.stop()
