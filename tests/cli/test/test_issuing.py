"""Tokens of an issuer that is not there: good by its own rules, whatever they are, and bad in just what a test says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.test.file import TokenBlock
from gateway.cli.test.issuing import OfflineIssuer
from gateway.oauth import jwt
from tests.cli.test.suites import configuration, verdict

ASKED = {"client_id": "gateway", "client_secret": "secret", "endpoint": "https://login.example.com/introspect"}


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"audience": ["a", "b"]},
        {"audience": "any"},
        {"audience_claims": ["client_id"]},
        {"audience_claims": ["resource.name", "aud"]},
        {"token_type": "at+jwt"},
        {"token_type": "any"},
        {"max_lifetime": "1m"},
        {"leeway": "0s"},
        {"required_claims": ["sub", "tenant", "realm_access.roles", "https://example.com/plan"]},
        {"secret": "s" * 32, "algorithms": ["HS512"]},
        *({"algorithms": [name]} for name in ("RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA")),
        {"introspection": {**ASKED, "mode": "always"}},
        {"introspection": {**ASKED, "signed_response": True}, "jwks": {"keys": []}},
        {"introspection": ASKED, "jwks": {"keys": []}, "required_claims": ["sub", "tenant"]},
    ],
    ids=str,
)
async def test_a_token_is_good_by_the_rules_of_its_issuer(tmp_path: Path, rules: dict[str, Any]) -> None:
    config = configuration(issuer=rules)
    assert await verdict(tmp_path, {"issuer": "corp"}, config=config) == (200, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1}, "token_expired"),
        ({"exp": None}, "claim_invalid"),
        ({"exp": "soon"}, "claim_invalid"),
        ({"nbf": 9_999_999_999}, "token_not_yet_valid"),
        ({"aud": "other"}, "audience_mismatch"),
        ({"aud": None}, "claim_invalid"),
        ({"iss": "https://other.example.com"}, "issuer_unknown"),
        ({"sub": 7}, "claim_invalid"),
        ({"sub": None}, "claim_invalid"),
        ({"nested": None}, "claim_invalid"),
        ({"nested": {"other": 1}}, "claim_invalid"),
        ({"events": {}}, "token_type_refused"),
        ({"size": "x" * 20_000}, "token_too_large"),
    ],
    ids=str,
)
async def test_a_claim_that_a_test_gives_or_leaves_out_counts(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    config = configuration(issuer={"required_claims": ["sub", "nested.claim"]})
    assert await verdict(tmp_path, {"issuer": "corp", "claims": changes}, config=config) == (401, reason)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"typ": "JWT"}, "token_type_refused"),
        ({"typ": None}, "token_type_refused"),
        ({"kid": "another"}, "key_unknown"),
        ({"crit": ["exp"]}, "token_malformed"),
        ({"typ": 7}, "token_type_refused"),
    ],
    ids=str,
)
async def test_a_header_that_a_test_gives_counts(tmp_path: Path, header: dict[str, Any], reason: str) -> None:
    config = configuration(issuer={"token_type": "at+jwt"})
    assert await verdict(tmp_path, {"issuer": "corp", "header": header}, config=config) == (401, reason)


async def test_a_token_of_one_issuer_is_signed_by_no_other(tmp_path: Path) -> None:
    config = configuration()
    issuer = config.issuers["corp"]
    one, other = OfflineIssuer("corp", issuer), OfflineIssuer("corp", issuer)
    token = one.token(TokenBlock(issuer="corp")).encode()
    keys = other.stand_in.keys.current(0.0)
    assert keys is not None
    unverified = jwt.parse(token)
    [key] = keys.keys
    assert not key.verifies("ES256", unverified.signing_input, unverified.signature)
    forged = {"Authorization": f"Bearer {token.decode()}"}
    assert await verdict(tmp_path, headers=forged, config=config) == (401, "signature_invalid")


async def test_an_opaque_token_is_judged_by_the_rules_for_answers(tmp_path: Path) -> None:
    opaque = {"issuer": {"introspection": ASKED}}
    config = configuration(**opaque)
    for token, came in (
        ({}, (200, None)),
        ({"format": "opaque"}, (200, None)),
        ({"format": "opaque", "claims": {"aud": "other"}}, (401, "audience_mismatch")),
        ({"format": "opaque", "claims": {"exp": 1}}, (401, "token_expired")),
        ({"format": "opaque", "claims": {"token_type": "refresh_token"}}, (401, "token_type_refused")),
        ({"format": "opaque", "active": False}, (401, "token_inactive")),
        ({"format": "jwt", "active": False}, (200, None)),  # nobody is asked about a JWT here
    ):
        assert await verdict(tmp_path, {"issuer": "corp", **token}, config=config) == came


async def test_where_the_issuer_is_asked_about_jwts_what_it_says_counts(tmp_path: Path) -> None:
    config = configuration(issuer={"introspection": {**ASKED, "mode": "always"}})
    nonce = {"issuer": "corp", "claims": {"nonce": "n"}}
    assert await verdict(tmp_path, nonce, config=config) == (200, None)
    assert await verdict(tmp_path, {"issuer": "corp", "active": False}, config=config) == (401, "token_inactive")


async def test_a_jwt_of_an_issuer_without_keys_is_not_good(tmp_path: Path) -> None:
    config = configuration(issuer={"introspection": ASKED, "jwks": {"keys": []}})
    assert await verdict(tmp_path, {"issuer": "corp", "format": "jwt"}, config=config) == (401, "key_unknown")


async def test_a_token_that_nobody_issued_is_asked_about_nowhere(tmp_path: Path) -> None:
    config = configuration(issuer={"introspection": ASKED})
    headers = {"Authorization": "Bearer unknown"}
    assert await verdict(tmp_path, headers=headers, config=config) == (401, "token_inactive")
