"""Where an issuer's metadata is looked for, and when it is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.oauth.client import IssuerClient, IssuerFailure
from gateway.oauth.discovery import discover, metadata_addresses
from tests.issuer import FakeIssuer, server_tls
from tests.oauth.test_jwks import keys_of


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (
            "https://as.example",
            ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"],
        ),
        (
            "https://as.example/realms/a/",
            [
                "/.well-known/oauth-authorization-server/realms/a",
                "/.well-known/openid-configuration/realms/a",
                "/realms/a/.well-known/openid-configuration",
            ],
        ),
    ],
)
def test_metadata_is_looked_for_where_the_standards_put_it(issuer: str, expected: list[str]) -> None:
    assert metadata_addresses(issuer) == [f"https://as.example{path}" for path in expected]


@pytest.mark.parametrize("place", range(3))
async def test_metadata_is_found_in_each_of_the_three_places(place: int) -> None:
    async with FakeIssuer("/tenant") as issuer, IssuerClient(timeout=1) as client:
        issuer.metadata_at = {metadata_addresses(issuer.issuer)[place].removeprefix(issuer.origin)}
        assert (await discover(client, issuer.issuer)).jwks_uri == f"{issuer.origin}/jwks"


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://other.example"}, {"issuer": None}, {"jwks_uri": None}, {"jwks_uri": 7}],
)
async def test_metadata_of_another_issuer_or_without_keys_is_a_failure(metadata: dict[str, Any]) -> None:
    async with FakeIssuer() as issuer, IssuerClient(timeout=1) as client:
        issuer.metadata = metadata
        with pytest.raises(IssuerFailure):
            await discover(client, issuer.issuer)


async def test_metadata_over_tls_can_not_lead_to_plain_http_on_this_machine(tmp_path: Path) -> None:
    server, trusting = server_tls(tmp_path)
    async with FakeIssuer() as neighbour, FakeIssuer(tls=server) as issuer:
        issuer.metadata = {"jwks_uri": f"{neighbour.origin}/jwks"}
        async with keys_of(issuer, client=IssuerClient(timeout=1, tls=trusting)) as keys:
            await keys.first()
            assert keys.results["address"] == 1
            assert not neighbour.requests
        issuer.metadata = {}
        async with keys_of(issuer, client=IssuerClient(timeout=1, tls=trusting)) as keys:
            await keys.first()
            assert keys.current(1_700_000_000.0) is not None
