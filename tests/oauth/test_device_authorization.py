"""The device grant: the codes, and how politely it is asked whether the user has decided. Time is a number here."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.oauth.client import IssuerClient, IssuerFailure
from gateway.oauth.client_authentication import PublicClient
from gateway.oauth.device_authorization import DeviceAuthorization, authorize_device, wait_for_user
from gateway.oauth.error_response import OAuthError
from gateway.oauth.token_endpoint import TokenEndpoint
from tests.authorization_server import Scripted, ScriptedServer, error_answer, token_answer

APP = PublicClient("app")
PENDING, SLOW = error_answer("authorization_pending"), error_answer("slow_down")


def codes(server: ScriptedServer, **changes: Any) -> Scripted:
    members = {
        "device_code": "DC",
        "user_code": "WDJB-MJHT",
        "verification_uri": f"{server.origin}/activate",
        "expires_in": 60,
        **changes,
    }
    return Scripted({name: value for name, value in members.items() if value is not None})


async def asked(server: ScriptedServer, **changes: Any) -> DeviceAuthorization:
    server.answers["/device"] = [codes(server, **changes)]
    async with IssuerClient(timeout=5) as client:
        return await authorize_device(
            client, await server.found(client), APP, "a b", resources=["urn:x"], parameters={"audience": "orders"}
        )


@dataclass
class Clock:
    """Time that passes only while somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@contextlib.asynccontextmanager
async def token_endpoint(server: ScriptedServer, timeout: float = 5) -> AsyncIterator[TokenEndpoint]:
    async with IssuerClient(timeout=timeout) as client:
        yield TokenEndpoint(client, await server.found(client), APP)


async def test_the_codes_are_asked_for_and_read() -> None:
    async with ScriptedServer() as server:
        found = await asked(server, interval=7, verification_uri_complete=f"{server.origin}/activate?user_code=x")
        assert (found.device_code, found.user_code, found.expires_in, found.interval) == ("DC", "WDJB-MJHT", 60, 7)
        assert found.verification_uri_complete == f"{server.origin}/activate?user_code=x"
        assert server.asked_at("/device")[0].form == {
            "client_id": "app",
            "scope": "a b",
            "resource": "urn:x",
            "audience": "orders",
        }
        for secret in ("DC", "WDJB"):
            assert secret not in repr(found).replace("device_code", "")


async def test_the_older_name_of_the_page_is_known() -> None:
    async with ScriptedServer() as server:
        page = f"{server.origin}/device-page"
        assert (await asked(server, verification_uri=None, verification_url=page)).verification_uri == page


@pytest.mark.parametrize(
    ("interval", "seconds"), [(None, 5), (0, 1), (-3, 1), ("2", 2), (10**9, 60), ("soon", 5), (0.2, 1)]
)
async def test_the_interval_is_bounded(interval: Any, seconds: float) -> None:
    async with ScriptedServer() as server:
        assert (await asked(server, interval=interval)).interval == seconds


@pytest.mark.parametrize(
    "changes",
    [
        {"device_code": None},
        {"device_code": 7},
        {"user_code": ""},
        {"user_code": "\x1b[2J"},
        {"user_code": "A\nB"},
        {"user_code": "A" * 65},
        {"verification_uri": None},
        {"verification_uri": "http://192.0.2.1/activate"},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "https://[::1/"},
        {"verification_uri": "https://as.example/\x1b"},
        {"verification_uri_complete": "file:///etc/passwd"},
        {"verification_uri_complete": 7},
        {"expires_in": None},
        {"expires_in": 0},
        {"expires_in": "soon"},
    ],
)
async def test_codes_that_can_not_be_shown_or_used_are_refused(changes: dict[str, Any]) -> None:
    async with ScriptedServer() as server:
        with pytest.raises(IssuerFailure):
            await asked(server, **changes)


async def test_it_waits_as_long_as_it_is_told_to_and_longer_after_slow_down() -> None:
    clock, told = Clock(), []
    async with ScriptedServer() as server, token_endpoint(server) as endpoint:
        server.answers["/token"] = [PENDING, PENDING, SLOW, PENDING, SLOW, token_answer()]
        authorization = await asked(server, expires_in=600, interval=5)
        token = await wait_for_user(endpoint, authorization, clock=clock, sleep=clock.sleep, told=told.append)
        assert token.access_token == "AT-1"
        assert clock.slept == [5, 5, 5, 10, 10, 15]
        assert told == [asked.body["error"] for asked in (PENDING, PENDING, SLOW, PENDING, SLOW)]
        assert all(asked.form["device_code"] == "DC" for asked in server.asked_at("/token"))


@pytest.mark.parametrize("code", ["access_denied", "expired_token", "invalid_grant", "invalid_client"])
async def test_a_decision_ends_the_waiting(code: str) -> None:
    clock = Clock()
    async with ScriptedServer() as server, token_endpoint(server) as endpoint:
        server.answers["/token"] = [PENDING, error_answer(code)]
        with pytest.raises(OAuthError) as refused:
            await wait_for_user(endpoint, await asked(server), clock=clock, sleep=clock.sleep)
        assert refused.value.code == code
        assert len(server.asked_at("/token")) == 2


async def test_it_ends_by_itself_when_the_issuer_never_says_that_the_code_has_expired() -> None:
    clock = Clock()
    async with ScriptedServer() as server, token_endpoint(server) as endpoint:
        server.answers["/token"] = [PENDING]
        with pytest.raises(OAuthError) as refused:
            await wait_for_user(endpoint, await asked(server, expires_in=23), clock=clock, sleep=clock.sleep)
        assert refused.value.code == "expired_token"
        assert clock.slept == [5] * 5


async def test_a_connection_that_fails_is_tried_again_later_and_later() -> None:
    clock, told = Clock(), []
    async with ScriptedServer() as server, token_endpoint(server) as endpoint:
        server.answers["/token"] = [Scripted("", drop=True), Scripted("", drop=True), PENDING, token_answer()]
        authorization = await asked(server, expires_in=600)
        await wait_for_user(endpoint, authorization, clock=clock, sleep=clock.sleep, told=told.append)
        assert clock.slept == [5, 10, 20, 20]
        assert told[:2] == ["unreachable", "unreachable"]


async def test_an_issuer_that_stays_away_is_not_asked_for_ever() -> None:
    clock = Clock()
    async with ScriptedServer() as server, token_endpoint(server) as endpoint:
        server.answers["/token"] = [Scripted("", drop=True)]
        with pytest.raises(OAuthError) as refused:
            await wait_for_user(endpoint, await asked(server, expires_in=300), clock=clock, sleep=clock.sleep)
        assert refused.value.code == "expired_token"
        assert max(clock.slept) == 60


@pytest.mark.parametrize("answer", [Scripted("", 500), Scripted("<html>"), token_answer(token_type="mac")])
async def test_an_answer_that_is_none_ends_the_waiting(answer: Scripted) -> None:
    clock = Clock()
    async with ScriptedServer() as server, token_endpoint(server) as endpoint:
        server.answers["/token"] = [answer]
        with pytest.raises(IssuerFailure):
            await wait_for_user(endpoint, await asked(server), clock=clock, sleep=clock.sleep)
        assert len(clock.slept) == 1
