"""Calls to issuers: which addresses are asked, and how much of an answer is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.oauth.client import IssuerClient, IssuerFailure
from tests.issuer import FakeIssuer, server_tls
from tests.oauth.test_jwks import keys_of


async def test_an_issuer_is_asked_over_https_or_on_this_machine() -> None:
    async with IssuerClient(timeout=1) as client:
        for address in ("http://192.0.2.1/", "ftp://127.0.0.1/", "file:///etc/passwd", "http://localhost.example/"):
            with pytest.raises(IssuerFailure) as refused:
                await client.fetch(address)
            assert refused.value.kind == "address"


async def test_an_issuer_whose_certificate_is_not_trusted_has_no_keys(tmp_path: Path) -> None:
    async with FakeIssuer(tls=server_tls(tmp_path)[0]) as issuer, keys_of(issuer) as keys:
        await keys.first()
        assert keys.results["unreachable"] == 1
        assert not issuer.requests


async def test_an_endless_answer_is_cut_off() -> None:
    async with FakeIssuer() as issuer:
        issuer.fault = "endless"
        async with keys_of(issuer) as keys:
            await keys.first()
            assert keys.results["too_large"] == 1
        assert issuer.sent < 2**25
