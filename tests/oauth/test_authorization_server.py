"""What a client takes from an issuer's metadata, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.oauth.authorization_server import AuthorizationServer, EndpointMissing, find_server
from gateway.oauth.client import IssuerClient, IssuerFailure
from gateway.oauth.discovery import Metadata, OtherIssuer
from tests.authorization_server import Scripted, ScriptedServer


def server(address: str = "https://as.example/.well-known/x", allow_http: bool = False, **members: Any) -> Any:
    return AuthorizationServer("https://as.example", Metadata(address, members=members), allow_http)


async def test_endpoints_are_found_by_discovery() -> None:
    async with ScriptedServer("/tenant") as issuer, IssuerClient(timeout=5) as client:
        found = await issuer.found(client)
        assert found.endpoint("token_endpoint") == f"{issuer.origin}/token"


@pytest.mark.parametrize("named", ["https://other.example", None, 7])
async def test_metadata_of_another_issuer_is_refused_and_says_whose_it_is(named: Any) -> None:
    async with ScriptedServer() as issuer, IssuerClient(timeout=5) as client:
        issuer.metadata = {"issuer": named}
        # Also where the other addresses would have something else to say.
        issuer.answers["/.well-known/openid-configuration"] = [Scripted("<html>")]
        with pytest.raises(OtherIssuer) as refused:
            await find_server(client, issuer.issuer)
        assert refused.value.found == (named if isinstance(named, str) else None)


async def test_the_right_metadata_counts_wherever_it_is() -> None:
    async with ScriptedServer() as issuer, IssuerClient(timeout=5) as client:
        issuer.metadata = {"issuer": "https://other.example"}
        right = {"issuer": issuer.issuer, "token_endpoint": f"{issuer.origin}/t"}
        issuer.answers["/.well-known/openid-configuration"] = [Scripted(right)]
        assert (await find_server(client, issuer.issuer)).endpoint("token_endpoint").endswith("/t")


def test_an_endpoint_that_is_missing_is_named() -> None:
    with pytest.raises(EndpointMissing) as missing:
        server().endpoint("device_authorization_endpoint")
    assert missing.value.name == "device_authorization_endpoint"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("http://as.example/token", "address"),
        ("http://127.0.0.1:9/token", "address"),  # https metadata does not lead to this machine
        ("ftp://as.example/token", "address"),
        ("/token", "address"),
        ("", "address"),
        ("javascript:alert(1)", "address"),
        ("https://as.example/token#x", "metadata"),
        ("https:///token", "metadata"),
        ("https://[::1/token", "metadata"),
        (7, "metadata"),
        (["https://as.example/token"], "metadata"),
    ],
)
def test_an_odd_endpoint_is_refused(address: Any, kind: str) -> None:
    with pytest.raises(IssuerFailure) as refused:
        server(token_endpoint=address).endpoint("token_endpoint")
    assert refused.value.kind == kind


def test_plain_http_is_for_this_machine_or_by_permission() -> None:
    here = "http://127.0.0.1:9/.well-known/x"
    assert server(here, token_endpoint="http://[::1]:9/t").endpoint("token_endpoint") == "http://[::1]:9/t"
    assert server(allow_http=True, token_endpoint="http://as.example/t").endpoint("token_endpoint")
    with pytest.raises(IssuerFailure):
        server(here, token_endpoint="http://192.0.2.1/t").endpoint("token_endpoint")


def test_lists_and_promises_are_read_strictly() -> None:
    seen = server(scopes_supported=["a", 7, "b"], grant_types_supported="x", yes=True, no="true")
    assert seen.listed("scopes_supported") == ["a", "b"]
    assert seen.listed("grant_types_supported") is None
    assert seen.listed("absent") is None
    assert seen.promises("yes")
    assert not seen.promises("no")
    assert not seen.promises("absent")


def test_a_client_with_a_certificate_goes_where_it_is_asked_for() -> None:
    address, asking = "https://as.example/.well-known/x", "https://mtls.as.example/token"
    members = {
        "token_endpoint": "https://as.example/token",
        "revocation_endpoint": "https://as.example/revoke",
        "mtls_endpoint_aliases": {"token_endpoint": asking},
    }
    usual = AuthorizationServer("https://as.example", Metadata(address, members=members))
    certified = AuthorizationServer("https://as.example", Metadata(address, members=members), has_certificate=True)
    assert usual.endpoint("token_endpoint") == "https://as.example/token"
    assert certified.endpoint("token_endpoint") == asking
    assert certified.endpoint("revocation_endpoint") == "https://as.example/revoke"
    members["mtls_endpoint_aliases"] = {"token_endpoint": "http://mtls.as.example/token"}
    with pytest.raises(IssuerFailure):
        certified.endpoint("token_endpoint")
