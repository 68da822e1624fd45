"""Opaque tokens and introspected JWTs over real sockets: what an answer means, and how long it is remembered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.dialogue import Answer
from tests.http.origin import until
from tests.issuer import FakeIssuer
from tests.world import AUDIENCE, World, mint, public_jwks, world

CLIENT = {"client_id": "gateway", "client_secret": "s3cret"}
ROUTE = {"name": "read", "path": "/orders"}
SCOPED = {"name": "write", "path": "/write", "require": {"scopes": ["orders:write"]}}


@dataclass
class Setting:
    """A gateway and the issuer it asks."""

    w: World
    issuer: FakeIssuer

    async def ask(self, token: str, path: str = "/orders", scheme: str = "Bearer") -> Answer:
        # The server closes, so that its answer is whole however slow the machine is.
        headers = (f"Authorization: {scheme} {token}", "Connection: close")
        return await self.w.ask("GET", path, *headers, silence=20, patience=20)

    async def outcome(self, token: str, path: str = "/orders") -> tuple[int, str | None]:
        """Status and reason."""
        answer = await self.ask(token, path)
        return answer.status, None if answer.status == 200 else json.loads(answer.body)["reason"]

    async def until(self, token: str, outcome: tuple[int, str | None]) -> None:
        """Wait until a token has this outcome."""
        async with asyncio.timeout(20):
            while await self.outcome(token) != outcome:  # noqa: ASYNC110 - the gateway offers no event
                await asyncio.sleep(0.05)

    @property
    def calls(self) -> int:
        return self.issuer.requests["/introspect"]


def issuer_block(issuer: FakeIssuer, **introspection: Any) -> dict[str, Any]:
    """An issuer of the configuration whose keys are written there, so that only introspection is asked."""
    return {
        "issuer": issuer.issuer,
        "audience": AUDIENCE,
        "jwks": json.loads(public_jwks()),
        "leeway": "0s",
        "introspection": {**CLIENT, "timeout": "10s", **introspection},
    }


@contextlib.asynccontextmanager
async def setting(
    *routes: Mapping[str, Any], issuer: Mapping[str, Any] | None = None, **introspection: Any
) -> AsyncIterator[Setting]:
    async with FakeIssuer() as asked:
        block = {**issuer_block(asked, **introspection), **(issuer or {})}
        async with world(*(routes or (ROUTE, SCOPED)), issuers={"corp": block}) as w:
            yield Setting(w, asked)


# --- what the answer says ----------------------------------------------------------------------------------------


async def test_an_active_token_is_forwarded_as_whose_it_is() -> None:
    async with setting() as s:
        s.issuer.active["opaque-1"] = {"sub": "u1", "client_id": "app", "scope": "orders:write profile"}
        assert await s.outcome("opaque-1", "/write") == (200, None)
        assert b"X-Auth-Subject: u1\r\n" in s.w.sent_upstream
        assert b"X-Auth-Client-Id: app\r\n" in s.w.sent_upstream
        assert b"X-Auth-Scopes: orders:write profile\r\n" in s.w.sent_upstream
        assert b"opaque-1" not in s.w.sent_upstream


async def test_the_issuer_sees_exactly_the_token_and_who_asks() -> None:
    async with setting() as s:
        token = "a.b-c_d~e+f/g=="  # every character that a b64token can have
        await s.ask(token)
        form, headers = s.issuer.introspected[0]
        assert form == {"token": token, "token_type_hint": "access_token"}
        assert headers["Accept"] == "application/json"
        assert headers["Authorization"] == "Basic Z2F0ZXdheTpzM2NyZXQ="


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({}, (200, None)),
        ({"exp": 60}, (200, None)),
        ({"aud": AUDIENCE, "nbf": -5, "iat": -5}, (200, None)),
        ({"aud": ["x", AUDIENCE], "token_type": "bearer", "typ": "Bearer", "nonce": "n"}, (200, None)),
        ({"exp": -1}, (401, "token_expired")),
        ({"nbf": 60}, (401, "token_not_yet_valid")),
        ({"iat": 60}, (401, "token_not_yet_valid")),
        ({"aud": "other"}, (401, "audience_mismatch")),
        ({"aud": []}, (401, "claim_invalid")),
        ({"iss": "https://other.example"}, (401, "issuer_unknown")),
        ({"cnf": {"jkt": "x"}}, (401, "binding_mismatch")),
        ({"cnf": {"unknown": "x"}}, (401, "binding_mismatch")),
        ({"sub": 5}, (401, "claim_invalid")),
        ({"exp": "soon"}, (401, "claim_invalid")),
        ({"exp": True}, (401, "claim_invalid")),
        ({"token_type": "refresh_token"}, (401, "token_type_refused")),
        ({"token_type": ["Bearer"]}, (401, "token_type_refused")),
        ({"token_use": "refresh_token"}, (401, "token_type_refused")),
        ({"typ": "Refresh"}, (401, "token_type_refused")),
        ({"at_hash": "x"}, (401, "token_type_refused")),
    ],
)
async def test_the_rules_for_tokens_hold_for_the_answer_too(answer: dict[str, Any], outcome: tuple[int, str]) -> None:
    now = int(time.time())
    async with setting() as s:
        times = {name: now + value for name, value in answer.items() if type(value) is int and name != "sub"}
        s.issuer.active["t"] = {**answer, **times}
        assert await s.outcome("t") == outcome
        assert (s.w.sent_upstream == b"") is (outcome[0] != 200)


@pytest.mark.parametrize(("claims", "status"), [({}, 401), ({"tenant": ""}, 401), ({"tenant": "t1"}, 200)])
async def test_claims_that_somebody_requires_are_required_of_answers_too(claims: dict[str, str], status: int) -> None:
    async with setting(issuer={"required_claims": ["tenant"]}) as s:
        s.issuer.active["t"] = claims
        assert (await s.ask("t")).status == status


@pytest.mark.parametrize(("claims", "status"), [({"iat": 0}, 401), ({"iat": 0, "exp": 50}, 200), ({"exp": 50}, 401)])
async def test_max_lifetime_holds_for_answers_too(claims: dict[str, int], status: int) -> None:
    now = int(time.time())
    async with setting(issuer={"max_lifetime": "1m"}) as s:
        s.issuer.active["t"] = {name: now + value for name, value in claims.items()}
        assert (await s.ask("t")).status == status


@pytest.mark.parametrize(
    "fault",
    [
        {"active": "true"},
        {"active": 1},
        {"active": [True]},
        {"active": None},
        {},
        [],
        "nothing",
        "list",
        "truncated",
        "twice",
        "not JSON",
        "page",
        "bomb",
        "huge",
        "redirect",
        "drop",
        "hang",
        201,
        204,
        400,
        401,
        403,
        429,
        500,
    ],
    ids=str,
)
async def test_whatever_is_no_answer_is_the_issuers_trouble_and_heals_by_itself(fault: Any) -> None:
    # One that hangs goes on for 30 s.
    async with setting(timeout="300ms" if fault == "hang" else "10s") as s:
        s.issuer.active["t"] = {"sub": "u1"}
        s.issuer.introspection_fault = fault
        started = time.monotonic()
        answer = await s.ask("t")
        assert time.monotonic() - started < 9
        assert (answer.status, json.loads(answer.body)["reason"]) == (503, "issuer_unavailable")
        assert answer.header("Retry-After") is not None
        assert answer.header("WWW-Authenticate") is None
        assert s.w.sent_upstream == b""
        s.issuer.introspection_fault = None
        await s.until("t", (200, None))


async def test_a_token_that_no_issuer_knows_is_inactive() -> None:
    async with setting() as s:
        answer = await s.ask("unknown")
        assert (answer.status, json.loads(answer.body)["reason"]) == (401, "token_inactive")
        assert 'error="invalid_token"' in (answer.header("WWW-Authenticate") or "")


@pytest.mark.parametrize(
    "token", ["a.b.c", "x", "e30.e30.AA", mint(iss="https://unknown.example"), "e30.e30.e30.e30.AA"]
)
async def test_whatever_is_no_jwt_of_a_configured_issuer_is_asked_about(token: str) -> None:
    async with setting() as s:
        assert await s.outcome(token) == (401, "token_inactive")
        s.issuer.active[token + "~"] = {"sub": "u1"}
        assert await s.outcome(token + "~") == (200, None)


async def test_a_token_that_is_too_large_is_never_sent_to_the_issuer() -> None:
    async with setting() as s:
        assert await s.outcome("a" * 17_000) == (401, "token_too_large")
        assert s.calls == 0


# --- what is remembered ------------------------------------------------------------------------------------------


async def test_answers_are_remembered_and_scopes_are_checked_on_each_request() -> None:
    async with setting() as s:
        s.issuer.active["t"] = {"sub": "u1", "scope": "orders:read"}
        for _ in range(3):
            assert await s.outcome("t") == (200, None)
            assert await s.outcome("t", "/write") == (403, "scope_insufficient")
            assert await s.outcome("unknown") == (401, "token_inactive")
        assert s.calls == 2


async def test_an_answer_is_never_used_past_the_tokens_expiry() -> None:
    async with setting(cache="60s") as s:
        expiry = time.time() + 2
        s.issuer.active["t"] = {"exp": expiry}
        assert await s.outcome("t") == (200, None)
        del s.issuer.active["t"]
        await s.until("t", (401, "token_inactive"))
        assert time.time() >= expiry


async def test_a_revoked_token_is_refused_once_its_answer_is_too_old() -> None:
    async with setting(cache="1s", negative_cache="1s") as s:
        s.issuer.active["t"] = {"sub": "u1"}
        started = time.monotonic()
        assert await s.outcome("t") == (200, None)
        s.issuer.active.clear()
        await s.until("t", (401, "token_inactive"))
        assert time.monotonic() - started >= 1
        s.issuer.active["t"] = {"sub": "u1"}
        await s.until("t", (200, None))
        assert time.monotonic() - started >= 2
        assert s.calls == 3


async def test_with_a_cache_of_no_time_every_request_asks() -> None:
    async with setting(cache="0s", negative_cache="0s") as s:
        s.issuer.active["t"] = {"sub": "u1"}
        for _ in range(3):
            assert await s.outcome("t") == (200, None)
            assert await s.outcome("unknown") == (401, "token_inactive")
        assert s.calls == 6


async def test_fifty_requests_with_one_new_token_make_one_call_and_whoever_leaves_harms_nobody() -> None:
    async with setting() as s:
        s.issuer.active["t"] = {"sub": "u1"}
        s.issuer.delay = 0.4
        first = asyncio.create_task(s.ask("t"))
        await until(lambda: s.calls == 1)
        others = [asyncio.create_task(s.ask("t")) for _ in range(49)]
        await asyncio.sleep(0.1)
        first.cancel()
        assert [answer.status for answer in await asyncio.gather(*others)] == [200] * 49
        assert s.calls == 1


async def test_no_more_calls_run_at_once_than_allowed() -> None:
    async with setting(concurrency=2) as s:
        s.issuer.delay = 0.2
        started = time.monotonic()
        answers = await asyncio.gather(*(s.ask(f"t{number}") for number in range(6)))
        assert time.monotonic() - started >= 0.55
        assert {answer.status for answer in answers} == {401}


# --- an issuer in trouble ----------------------------------------------------------------------------------------


async def test_an_issuer_that_fails_again_and_again_is_given_a_pause_and_then_one_try() -> None:
    async with setting() as s:
        s.issuer.introspection_fault = 500
        for number in range(5):
            assert await s.outcome(f"t{number}") == (503, "issuer_unavailable")
        calls = s.calls
        answers = [await s.ask(f"t{number}") for number in range(5, 35)]
        assert {answer.status for answer in answers} == {503}
        # The pause is said as what is left of it; a try in between, on a slow machine, has the usual one.
        assert "1" in {answer.header("Retry-After") for answer in answers}
        assert s.calls < calls + 5
        s.issuer.introspection_fault = None
        s.issuer.active["t"] = {"sub": "u1"}
        await s.until("t", (200, None))


async def test_requests_that_the_issuer_finds_bad_silence_it_for_nobody() -> None:
    async with setting() as s:
        s.issuer.active["good"] = {"sub": "u1"}
        s.issuer.introspection_fault = 400
        for number in range(10):
            assert await s.outcome(f"t{number}") == (503, "issuer_unavailable")
        s.issuer.introspection_fault = None
        assert await s.outcome("good") == (200, None)


async def test_known_tokens_and_jwts_do_not_need_the_introspection_that_hangs() -> None:
    async with setting(timeout="3s") as s:
        s.issuer.active["known"] = {"sub": "u1"}
        await s.until("known", (200, None))
        s.issuer.introspection_fault = "hang"
        hanging = asyncio.create_task(s.outcome("new"))
        assert await s.outcome("known") == (200, None)
        assert await s.outcome(mint(iss=s.issuer.issuer)) == (200, None)
        assert not hanging.done()
        assert await hanging == (503, "issuer_unavailable")


# --- JWTs --------------------------------------------------------------------------------------------------------


async def test_in_mode_opaque_a_jwt_is_not_asked_about() -> None:
    async with setting() as s:
        assert await s.outcome(mint(iss=s.issuer.issuer)) == (200, None)
        assert s.calls == 0


async def test_in_mode_always_a_jwt_has_to_be_good_and_active() -> None:
    async with setting(mode="always") as s:
        good, expired = mint(iss=s.issuer.issuer), mint(iss=s.issuer.issuer, exp=int(time.time()) - 5)
        s.issuer.active |= {good: {"sub": "u1"}, expired: {"sub": "u1"}}
        assert await s.outcome(good) == (200, None)
        assert await s.outcome(good) == (200, None)
        assert await s.outcome(expired) == (401, "token_expired")
        assert s.calls == 1
        assert await s.outcome(mint(iss=s.issuer.issuer, jti="2")) == (401, "token_inactive")


async def test_what_the_answer_says_of_a_jwt_counts() -> None:
    async with setting(mode="always") as s:
        token = mint(iss=s.issuer.issuer, scope="orders:write")
        s.issuer.active[token] = {"scope": "orders:read"}
        assert await s.outcome(token, "/write") == (403, "scope_insufficient")
        other = mint(iss=s.issuer.issuer, cnf={"jkt": "x"})
        s.issuer.active[other] = {"cnf": None}
        assert await s.outcome(other) == (401, "binding_mismatch")


async def test_a_route_can_have_jwts_introspected_that_others_take_as_they_are() -> None:
    careful = {"name": "careful", "path": "/careful", "require": {"introspect": True}}
    async with setting(ROUTE, careful) as s:
        token = mint(iss=s.issuer.issuer)
        assert await s.outcome(token, "/careful") == (401, "token_inactive")
        assert await s.outcome(token) == (200, None)
        s.issuer.active |= {token + "x": {}, mint(iss=s.issuer.issuer, jti="j2"): {"department": "sales"}}
        known = list(s.issuer.active)[-1]
        for _ in range(2):
            assert await s.outcome(known, "/careful") == (200, None)
            assert await s.outcome(known) == (200, None)
        assert s.calls == 2
        s.issuer.introspection_fault = 500
        assert await s.outcome(mint(iss=s.issuer.issuer, jti="j3"), "/careful") == (503, "issuer_unavailable")
        assert await s.outcome(mint(iss=s.issuer.issuer, jti="j3")) == (200, None)


async def test_in_mode_never_nobody_is_asked() -> None:
    async with setting(mode="never") as s:
        assert await s.outcome("opaque") == (401, "token_malformed")
        assert s.calls == 0


# --- several issuers ---------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def two_issuers(*routes: Mapping[str, Any]) -> AsyncIterator[tuple[Setting, FakeIssuer]]:
    async with FakeIssuer() as first, FakeIssuer() as second:
        issuers = {"first": issuer_block(first), "second": issuer_block(second)}
        async with world(*routes, issuers=issuers) as w:
            yield Setting(w, first), second


async def test_the_first_active_answer_counts_and_a_failure_only_without_one() -> None:
    async with two_issuers(ROUTE) as (s, second):
        second.active["t"] = {"sub": "u2"}
        assert await s.outcome("t") == (200, None)
        assert s.w.records[-1].issuer == "second"
        s.issuer.introspection_fault = 500
        second.active["t2"] = {"sub": "u2"}
        assert await s.outcome("t2") == (200, None)
        assert await s.outcome("t3") == (503, "issuer_unavailable")


async def test_the_issuers_of_the_route_are_asked_first() -> None:
    only_second = {"name": "second", "path": "/second", "require": {"issuers": ["second"]}}
    async with two_issuers(ROUTE, only_second) as (s, second):
        s.issuer.active["both"] = second.active["both"] = second.active["t"] = {"sub": "u"}
        assert await s.outcome("t", "/second") == (200, None)
        assert s.calls == 0
        # Known by another route's issuer, it is still this route's own that is asked.
        assert await s.outcome("both") == (200, None)
        assert s.w.records[-1].issuer == "first"
        assert await s.outcome("both", "/second") == (200, None)
        s.issuer.active["foreign"] = {"sub": "u"}
        assert await s.outcome("foreign", "/second") == (403, "issuer_refused")


# --- addresses ---------------------------------------------------------------------------------------------------


async def test_an_issuer_of_opaque_tokens_alone_needs_no_keys() -> None:
    async with FakeIssuer() as issuer:
        issuer.metadata = {"jwks_uri": None}
        block = {"issuer": issuer.issuer, "audience": AUDIENCE, "introspection": CLIENT}
        async with world(ROUTE, issuers={"corp": block}) as w:
            s = Setting(w, issuer)
            issuer.active["t"] = {"sub": "u1"}
            assert await s.outcome("t") == (200, None)
            await w.gateway.wait_for_keys(2)
            assert w.gateway.issuers["corp"].keys.fetched_at is not None
            assert await s.outcome(mint(iss=issuer.issuer)) == (401, "key_unknown")


async def test_metadata_that_can_not_be_had_is_asked_for_again() -> None:
    async with FakeIssuer() as issuer:
        block = issuer_block(issuer, timeout="2s")
        async with world(ROUTE, issuers={"corp": block}) as w:
            s = Setting(w, issuer)
            issuer.active["t"] = {"sub": "u1"}
            issuer.metadata = {"introspection_endpoint": None}
            assert await s.outcome("t") == (503, "issuer_unavailable")
            issuer.metadata = {"issuer": "https://other.example"}
            assert await s.outcome("t2") == (503, "issuer_unavailable")


async def test_an_endpoint_of_the_configuration_needs_no_metadata() -> None:
    async with FakeIssuer() as issuer:
        issuer.metadata_at = {"/nowhere"}
        block = issuer_block(issuer, endpoint=f"{issuer.origin}/introspect")
        async with world(ROUTE, issuers={"corp": block}) as w:
            issuer.active["t"] = {"sub": "u1"}
            assert await Setting(w, issuer).outcome("t") == (200, None)
