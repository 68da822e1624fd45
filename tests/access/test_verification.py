"""The verifier: what it remembers, for how long, and what an issuer's trouble means."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import errors
from gateway.access import rules
from gateway.access.verification import TrustedIssuer, Verified, Verifier
from gateway.cache.memory import BoundedCache
from gateway.errors import GatewayError
from gateway.oauth.jwt import TokenRules
from gateway.oauth.key_source import KeySource
from gateway.oauth.keys import KeySet, from_jwks
from gateway.oauth.tokens import Credential
from gateway.record import RequestRecord
from tests.http.origin import until
from tests.issuer import FakeIssuer, public_jwk, signed_by
from tests.oauth.test_jwks import keys_of
from tests.world import AUDIENCE, ISSUER, mint, public_jwks

GOOD = from_jwks(json.loads(public_jwks()))
OTHER = from_jwks({"keys": [public_jwk("other rsa", kid="k2")]})


SECOND = "https://second.example.com"


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

    async def refresh(self) -> str:
        return "ok"


def trusted(keys: KeySource, issuer: str = ISSUER) -> TrustedIssuer:
    return TrustedIssuer(TokenRules("corp", issuer, frozenset({AUDIENCE}), frozenset({"RS256"})), keys)


def verifier(*keys: Keys, now: list[float] | None = None, entries: int = 10, max_token: int = 16_384) -> Verifier:
    """A verifier that trusts an issuer for each of these sources; the second has an address of its own."""
    issuers = [trusted(source, issuer) for source, issuer in zip(keys, (ISSUER, SECOND), strict=False)]
    cache = BoundedCache[bytes, Verified](entries=entries, weight=100_000)
    clock = time.time if now is None else lambda: now[0]
    introspected = BoundedCache[bytes, Verified](entries=entries, weight=100_000)
    return Verifier(issuers, max_token=max_token, cache=cache, introspected=introspected, clock=clock)


async def verify(one: Verifier, token: str | bytes) -> Verified:
    value = token if isinstance(token, bytes) else token.encode()
    return await one.verify(Credential("bearer", value), RequestRecord("GET", 0.0))


async def reason(one: Verifier, token: str | bytes) -> str:
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


async def test_keys_of_one_issuer_verify_no_token_of_another_although_the_names_are_the_same() -> None:
    other = from_jwks({"keys": [public_jwk("other rsa", kid="k1")]})
    one = verifier(Keys(GOOD), Keys(other))
    await verify(one, mint())
    assert await reason(one, mint(iss=SECOND)) == "signature_invalid"


async def test_a_token_that_no_key_could_save_is_refused_during_an_outage_too() -> None:
    one = verifier(Keys(None), max_token=2000)
    claims = {"iss": ISSUER}
    for algorithm in ("none", "HS256", "ES256"):
        assert await reason(one, signed_by("rsa", "RS256", {"alg": algorithm}, claims)) == "algorithm_refused"
    assert await reason(one, "x.y.z") == "token_malformed"
    assert await reason(one, "x" * 2001) == "token_too_large"
    assert await reason(one, signed_by("rsa", "RS256", {"alg": "RS256"}, claims)) == "issuer_unavailable"


async def test_the_size_of_a_token_is_looked_at_first() -> None:
    one = verifier(Keys(GOOD), max_token=len(mint()))
    await verify(one, mint())
    assert await reason(one, mint(x="y" * 100)) == "token_too_large"


async def test_a_forged_token_that_names_a_known_key_causes_no_fetch() -> None:
    keys = Keys(GOOD, fresh=OTHER)
    forged = signed_by("other rsa", "RS256", {"alg": "RS256", "kid": "k1"}, {"iss": ISSUER})
    assert await reason(verifier(keys), forged) == "signature_invalid"
    assert keys.refreshes == 0


async def test_a_refused_token_is_refused_again_without_a_look_until_the_keys_change() -> None:
    keys = Keys(GOOD)
    one = verifier(keys)
    good = mint()
    forged = f"{good[:-6]}AAAAAA"
    assert [await reason(one, forged) for _ in range(3)] == ["signature_invalid"] * 3
    assert one.misses == 1
    await verify(one, good)
    keys.keys = from_jwks(json.loads(public_jwks()))
    assert await reason(one, forged) == "signature_invalid"
    assert one.misses == 3


async def test_a_token_signed_with_a_key_to_come_is_not_remembered_as_refused() -> None:
    keys = Keys(OTHER)
    one = verifier(keys)
    token = mint()
    assert await reason(one, token) == "key_unknown"
    keys.fresh = GOOD
    await verify(one, token)


async def test_a_token_that_has_no_place_yet_is_not_remembered_as_refused() -> None:
    now = [1_700_000_000.0]
    one = verifier(Keys(GOOD), now=now)
    early = mint(iat=int(now[0]) + 100, exp=int(now[0]) + 1000)
    assert await reason(one, early) == "token_not_yet_valid"
    now[0] += 100
    await verify(one, early)


async def test_keys_without_names_are_fetched_again_when_none_of_them_fits() -> None:
    keys = Keys(from_jwks({"keys": [public_jwk("other rsa")]}), fresh=from_jwks({"keys": [public_jwk("rsa")]}))
    await verify(verifier(keys), mint())
    assert keys.refreshes == 1


async def test_keys_that_go_while_they_are_fetched_are_an_outage() -> None:
    class Vanishing(Keys):
        async def refresh_for_unknown_kid(self) -> None:
            self.keys = None

    assert await reason(verifier(Vanishing(OTHER)), mint()) == "issuer_unavailable"


async def test_a_decision_that_is_being_explained_shows_every_check_again() -> None:
    one = verifier(Keys(GOOD))
    token = mint()
    await verify(one, token)
    record = RequestRecord("GET", 0.0)
    record.steps = []
    await one.verify(Credential("bearer", token.encode()), record)
    assert [step.step for step in record.steps] == ["issuer", "key", "token"]


async def test_a_key_that_the_issuer_withdraws_takes_its_remembered_tokens_along() -> None:
    async with FakeIssuer() as issuer, keys_of(issuer) as keys:
        await keys.first()
        one = Verifier(
            [trusted(keys, issuer.issuer)],
            max_token=16_384,
            cache=BoundedCache[bytes, Verified](entries=10, weight=100_000),
            introspected=BoundedCache[bytes, Verified](entries=10, weight=100_000),
            clock=lambda: keys.fetched_at or 0,
        )
        header = {"alg": "RS256", "kid": "k1"}
        claims = {"iss": issuer.issuer, "aud": AUDIENCE, "sub": "u1", "exp": 2_000_000_000}
        token = signed_by("rsa", "RS256", header, claims)
        assert await verify(one, token) is await verify(one, token)
        issuer.jwks = {"keys": [public_jwk("other rsa", kid="k2")]}
        keys.resume.set()
        await until(lambda: keys.results["ok"] == 2)
        assert await reason(one, token) == "key_unknown"
        await verify(one, signed_by("other rsa", "RS256", {**header, "kid": "k2"}, claims))


TOKEN = mint().encode()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300) | st.tuples(st.integers(0, len(TOKEN) - 1), st.binary(max_size=3)))
async def test_anything_but_a_good_token_is_refused_with_401(change: bytes | tuple[int, bytes]) -> None:
    value = change if isinstance(change, bytes) else TOKEN[: change[0]] + change[1] + TOKEN[change[0] + 1 :]
    if value != TOKEN:
        with pytest.raises(GatewayError) as refused:
            await verify(verifier(Keys(GOOD)), value)
        assert refused.value.reason.status == 401


# --- one in the place of another ---------------------------------------------------------------------------------


async def test_what_was_verified_by_the_same_issuer_counts_on_and_what_was_not_does_not() -> None:
    same, other = Keys(GOOD), Keys(GOOD)
    before = verifier(same, other)
    tokens = [mint(), mint(sub="u2"), mint(iss=SECOND)]
    for token in tokens:
        (await verify(before, token)).keep("rules of before", rules.permit_anonymous())
    after = verifier(same, Keys(GOOD))
    list(after.adopt(before))
    adopted = [await verify(after, token) for token in tokens]
    assert (after.hits, after.misses) == (2, 1)
    assert [verified.permits for verified in adopted] == [{}, {}, {}]
    assert [verified.issuer.keys is same for verified in adopted] == [True, True, False]
    # Who goes on is asked by its keys as ever, and the other one's memory is its own.
    same.keys = OTHER
    assert await reason(after, tokens[0]) == "key_unknown"
    before.forget()
    same.keys = GOOD
    assert (await verify(after, tokens[1])) is adopted[1]


async def test_a_token_is_verified_anew_when_its_issuer_is_held_to_other_rules_or_it_became_too_large() -> None:
    keys, token = Keys(GOOD), mint()
    before = verifier(keys)
    await verify(before, token)
    small = verifier(keys, max_token=10)
    list(small.adopt(before))
    assert await reason(small, token) == "token_too_large"
    strict = dataclasses.replace(trusted(keys).rules, audience=frozenset({"other"}))
    cache, introspected = (BoundedCache[bytes, Verified](entries=10, weight=100_000) for _ in range(2))
    issuer = TrustedIssuer(strict, keys)
    after = Verifier([issuer], max_token=16_384, cache=cache, introspected=introspected)
    list(after.adopt(before))
    assert await reason(after, token) == "audience_mismatch"
    assert [issuer.judges_as(each) for each in (TrustedIssuer(strict, keys), trusted(keys))] == [True, False]
    assert not issuer.judges_as(TrustedIssuer(strict, Keys(GOOD)))
    assert not issuer.judges_as(TrustedIssuer(strict, keys, introspects_jwt=True))
