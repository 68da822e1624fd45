"""Where an issuer's metadata is looked for, and when it is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.oauth.client import IssuerClient, IssuerFailure
from gateway.oauth.discovery import KnownMetadata, discover, metadata_addresses
from tests.http.origin import until
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
    [{"issuer": "https://other.example"}, {"issuer": None}, {"jwks_uri": 7}, {"introspection_endpoint": [1]}],
)
async def test_metadata_of_another_issuer_or_with_odd_addresses_is_a_failure(metadata: dict[str, Any]) -> None:
    async with FakeIssuer() as issuer, IssuerClient(timeout=1) as client:
        issuer.metadata = metadata
        with pytest.raises(IssuerFailure):
            await discover(client, issuer.issuer)


async def test_metadata_over_tls_can_not_lead_to_plain_http_on_this_machine(tmp_path: Path) -> None:
    server, trusting = server_tls(tmp_path)
    async with FakeIssuer() as neighbour, FakeIssuer(tls=server) as issuer:
        issuer.metadata = {"jwks_uri": f"{neighbour.origin}/jwks"}
        async with keys_of(issuer, client=IssuerClient(timeout=1, tls=lambda: trusting)) as keys:
            await keys.first()
            assert keys.results["address"] == 1
            assert not neighbour.requests
        issuer.metadata = {}
        async with keys_of(issuer, client=IssuerClient(timeout=1, tls=lambda: trusting)) as keys:
            await keys.first()
            assert keys.current(1_700_000_000.0) is not None


@pytest.mark.parametrize(("endpoint", "kind"), [(None, "metadata"), ("https://x.example/introspect", "ok")])
async def test_only_an_issuer_that_introspects_may_have_no_keys(endpoint: str | None, kind: str) -> None:
    async with FakeIssuer() as issuer:
        issuer.metadata = {"jwks_uri": None, "introspection_endpoint": endpoint}
        async with keys_of(issuer) as keys:
            await keys.first()
            assert keys.results[kind] == 1
            known = keys.current(1_700_000_000.0)
            assert (known is not None and known.keys == ()) is (kind == "ok")


async def test_an_issuer_that_had_keys_can_not_have_lost_them() -> None:
    async with FakeIssuer() as issuer, keys_of(issuer) as keys:
        await keys.first()
        issuer.metadata = {"jwks_uri": None}
        keys.resume.set()
        await until(lambda: keys.results["metadata"] == 1)
        known = keys.current(1_700_000_000.0)
        assert known is not None
        assert known.keys


async def test_known_metadata_is_asked_for_when_it_is_old_and_goes_on_while_it_can_not_be_had() -> None:
    now = [0.0]
    async with FakeIssuer() as issuer, IssuerClient(timeout=0.3) as client:
        known = KnownMetadata(client, issuer.issuer, refresh=600, cooldown=1, clock=lambda: now[0])
        first = await known.get()
        assert await known.get() is first
        assert issuer.requests.total() == 1
        issuer.metadata = {"issuer": "https://other.example"}
        now[0] = 600
        assert await known.get() is first
        asked = issuer.requests.total()
        assert await known.get() is first
        assert issuer.requests.total() == asked
        now[0] = 601
        issuer.metadata = {"introspection_endpoint": f"{issuer.origin}/other"}
        assert (await known.get()).introspection_endpoint == f"{issuer.origin}/other"
        await known.close()


async def test_metadata_that_was_never_had_is_a_failure_for_a_moment() -> None:
    now = [0.0]
    async with FakeIssuer() as issuer, IssuerClient(timeout=0.3) as client:
        issuer.metadata = {"issuer": "https://other.example"}
        known = KnownMetadata(client, issuer.issuer, cooldown=1, clock=lambda: now[0])
        for _ in range(2):
            with pytest.raises(IssuerFailure):
                await known.get()
        assert issuer.requests["/.well-known/oauth-authorization-server"] == 1
        issuer.metadata = {}
        now[0] = 1
        assert (await known.get()).jwks_uri == f"{issuer.origin}/jwks"
