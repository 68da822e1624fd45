"""The verifier: what it remembers, for how long, and what an issuer's trouble means."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from gateway import errors
from gateway.access.verification import TrustedIssuer, Verified, Verifier
from gateway.cache.memory import BoundedCache
from gateway.errors import GatewayError
from gateway.oauth.jwt import TokenRules
from gateway.oauth.keys import KeySet, from_jwks
from gateway.oauth.tokens import Credential
from gateway.record import RequestRecord
from tests.oauth.test_keys import other_rsa_jwk
from tests.world import AUDIENCE, ISSUER, mint, public_jwks

GOOD = from_jwks(json.loads(public_jwks()))
OTHER = from_jwks({"keys": [other_rsa_jwk()]})


class Keys:
    """Keys that a test changes; `fresh` is what a refresh brings."""

    name = "corp"

    def __init__(self, keys: KeySet | None, fresh: KeySet | None = None) -> None:
        self.keys = keys
        self.fresh = fresh
        self.refreshes = 0
        self.fetched_at: float | None = 0.0
        self.results: Counter[str] = Counter()

    def current(self, now: float) -> KeySet | None:
        return self.keys

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def first(self) -> None: ...

    async def refresh_for_unknown_kid(self) -> None:
        self.refreshes += 1
        if self.fresh is not None:
            self.keys = self.fresh


def verifier(keys: Keys, *, now: list[float] | None = None, entries: int = 10) -> Verifier:
    rules = TokenRules("corp", ISSUER, frozenset({AUDIENCE}), frozenset({"RS256"}))
    cache = BoundedCache[bytes, Verified](entries=entries, weight=100_000)
    clock = {} if now is None else {"clock": lambda: now[0]}
    return Verifier([TrustedIssuer(rules, keys)], max_token=16_384, cache=cache, **clock)  # type: ignore[arg-type]


async def verify(one: Verifier, token: str) -> Verified:
    return await one.verify(Credential("bearer", token.encode()), RequestRecord("GET", 0.0))


async def reason(one: Verifier, token: str) -> str:
    with pytest.raises(GatewayError) as refused:
        await verify(one, token)
    return refused.value.reason.name


async def test_a_good_token_is_verified_once() -> None:
    one = verifier(Keys(GOOD))
    token = mint()
    assert await verify(one, token) is await verify(one, token)
    assert (one.hits, one.misses) == (1, 1)


async def test_a_bad_token_is_never_remembered_as_good() -> None:
    one = verifier(Keys(GOOD))
    token = mint(aud="other")
    assert [await reason(one, token) for _ in range(2)] == ["audience_mismatch"] * 2
    assert (one.hits, one.misses) == (0, 2)


async def test_a_remembered_token_expires_to_the_second() -> None:
    now = [1_700_000_000.0]
    one = verifier(Keys(GOOD), now=now)
    token = mint(iat=int(now[0]), exp=int(now[0]) + 10)
    await verify(one, token)
    now[0] += 39.9
    await verify(one, token)
    now[0] += 0.1
    assert await reason(one, token) == "token_expired"


async def test_a_remembered_token_falls_with_the_key_that_signed_it() -> None:
    keys = Keys(GOOD)
    one = verifier(keys)
    token = mint()
    await verify(one, token)
    keys.keys = OTHER
    assert await reason(one, token) == "key_unknown"
    keys.keys = None
    assert await reason(one, token) == "issuer_unavailable"


async def test_an_unknown_key_is_looked_for_once_and_then_refused() -> None:
    found, missing = Keys(OTHER, fresh=GOOD), Keys(OTHER)
    await verify(verifier(found), mint())
    assert await reason(verifier(missing), mint()) == "key_unknown"
    assert (found.refreshes, missing.refreshes) == (1, 1)


async def test_without_any_keys_the_answer_is_503_and_says_when_to_come_back() -> None:
    with pytest.raises(GatewayError) as refused:
        await verify(verifier(Keys(None)), mint())
    assert refused.value.reason is errors.ISSUER_UNAVAILABLE
    assert refused.value.retry_after


async def test_an_issuer_is_chosen_before_its_outage_matters() -> None:
    assert await reason(verifier(Keys(None)), mint(iss="https://other.example")) == "issuer_unknown"
    assert await reason(verifier(Keys(None)), mint(iss=None)) == "issuer_unknown"


async def test_what_is_remembered_is_bounded() -> None:
    one = verifier(Keys(GOOD), entries=3)
    tokens = [mint(sub=f"u{number}") for number in range(5)]
    for token in tokens:
        await verify(one, token)
    await verify(one, tokens[-1])
    await verify(one, tokens[0])
    assert (one.hits, one.misses) == (1, 6)
