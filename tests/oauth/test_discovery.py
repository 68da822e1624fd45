"""Where an issuer's metadata is looked for, and when it is believed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.oauth.client import IssuerClient, IssuerFailure
from gateway.oauth.discovery import KnownEndpoint, discover, metadata_addresses
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
    async with FakeIssuer("/tenant") as issuer, IssuerClient(timeout=5) as client:
        issuer.metadata_at = {metadata_addresses(issuer.issuer)[place].removeprefix(issuer.origin)}
        assert (await discover(client, issuer.issuer)).jwks_uri == f"{issuer.origin}/jwks"


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://other.example"}, {"issuer": None}, {"jwks_uri": 7}, {"introspection_endpoint": [1]}],
)
async def test_metadata_of_another_issuer_or_with_odd_addresses_is_a_failure(metadata: dict[str, Any]) -> None:
    async with FakeIssuer() as issuer, IssuerClient(timeout=5) as client:
        issuer.metadata = metadata
        with pytest.raises(IssuerFailure):
            await discover(client, issuer.issuer)


async def test_metadata_over_tls_can_not_lead_to_plain_http_on_this_machine(tmp_path: Path) -> None:
    server, trusting = server_tls(tmp_path)
    async with FakeIssuer() as neighbour, FakeIssuer(tls=server) as issuer:
        issuer.metadata = {"jwks_uri": f"{neighbour.origin}/jwks"}
        async with keys_of(issuer, client=IssuerClient(timeout=5, tls=lambda: trusting)) as keys:
            await keys.first()
            assert keys.results["address"] == 1
            assert not neighbour.requests
        issuer.metadata = {}
        async with keys_of(issuer, client=IssuerClient(timeout=5, tls=lambda: trusting)) as keys:
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


@pytest.mark.parametrize(
    ("metadata", "places", "kind"),
    [
        ({"issuer": "https://other.example"}, ["/.well-known/oauth-authorization-server"], "issuer"),
        ({"issuer": "https://other.example"}, ["/.well-known/openid-configuration"], "issuer"),
        ({}, ["/nowhere"], "status"),
    ],
)
async def test_the_failure_that_is_told_is_not_that_nothing_was_at_another_place(
    metadata: dict[str, Any], places: list[str], kind: str
) -> None:
    async with FakeIssuer() as issuer, IssuerClient(timeout=5) as client:
        issuer.metadata, issuer.metadata_at = metadata, set(places)
        with pytest.raises(IssuerFailure) as failure:
            await discover(client, issuer.issuer)
        assert failure.value.kind == kind


ELSEWHERE = [{"issuer": "https://other.example"}, {"introspection_endpoint": None}]


@pytest.mark.parametrize("metadata", ELSEWHERE)
async def test_a_known_endpoint_is_looked_for_when_it_is_old_and_goes_on_while_that_fails(
    metadata: dict[str, Any],
) -> None:
    now = [0.0]
    async with FakeIssuer() as issuer, IssuerClient(timeout=5) as client:
        known = KnownEndpoint(client, issuer.issuer, refresh=600, cooldown=1, clock=lambda: now[0])
        first = await known.get()
        assert first.named_at == f"{issuer.origin}/.well-known/oauth-authorization-server"
        assert await known.get() is first
        assert issuer.requests.total() == 1
        issuer.metadata, now[0] = metadata, 600
        assert await known.get() is first
        await until(lambda: issuer.requests.total() > 1)
        await settled(known)
        asked = issuer.requests.total()
        assert await known.get() is first
        assert issuer.requests.total() == asked
        issuer.metadata, now[0] = {"introspection_endpoint": f"{issuer.origin}/other"}, 601
        assert await known.get() is first
        await settled(known)
        assert (await known.get()).address == f"{issuer.origin}/other"
        await known.close()


async def settled(known: KnownEndpoint) -> None:
    """Wait until nothing is being fetched."""
    await until(lambda: not known.is_refreshing)


async def test_nobody_who_knows_an_endpoint_waits_for_metadata_that_hangs() -> None:
    now = [0.0]
    async with FakeIssuer() as issuer, IssuerClient(timeout=30) as client:
        known = KnownEndpoint(client, issuer.issuer, refresh=600, clock=lambda: now[0])
        first = await known.get()
        issuer.delay, now[0] = 30, 600
        for _ in range(3):
            async with asyncio.timeout(5):
                assert await known.get() is first
        await until(lambda: issuer.requests.total() == 2)
        await known.close()


@pytest.mark.parametrize("metadata", ELSEWHERE)
async def test_an_endpoint_that_was_never_known_is_a_failure_for_a_moment(metadata: dict[str, Any]) -> None:
    now = [0.0]
    async with FakeIssuer() as issuer, IssuerClient(timeout=5) as client:
        issuer.metadata = metadata
        known = KnownEndpoint(client, issuer.issuer, cooldown=1, clock=lambda: now[0])
        for _ in range(2):
            with pytest.raises(IssuerFailure):
                await known.get()
        assert issuer.requests["/.well-known/oauth-authorization-server"] == 1
        issuer.metadata, now[0] = {}, 1
        assert (await known.get()).address == f"{issuer.origin}/introspect"
