"""Signing in with a browser and at a device: the test is the browser and the authorization server, and either errs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest

from gateway.oauth import pkce
from tests.authorization_server import Scripted, ScriptedServer, error_answer, token_answer
from tests.cli.token.command import Running, User, client


@dataclass
class SignIn:
    """A command that waits for its browser, and the parameters of the link that it shows."""

    running: Running
    link: str
    issuer: str

    @property
    def asked(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.link).query))

    async def comes_back(self, **parameters: Any) -> tuple[int, str, str]:
        """Status, address and text of the page after all redirects; by default with a good answer, None leaves out."""
        usual = {"code": "C", "state": self.asked["state"], "iss": self.issuer, **parameters}
        query = urlencode({name: value for name, value in usual.items() if value is not None})
        return await self.visits(f"{self.asked['redirect_uri']}?{query}")

    async def visits(self, address: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        async with aiohttp.ClientSession() as session, session.request(method, address, headers=headers) as answer:
            for name in ("Cache-Control", "Referrer-Policy", "Content-Security-Policy", "X-Frame-Options"):
                assert name in answer.headers
            return answer.status, str(answer.url), await answer.text()


@contextlib.asynccontextmanager
async def signing_in(user: User, server: ScriptedServer, *options: str) -> AsyncIterator[SignIn]:
    async with user.runs("get", *client(server.issuer), "--no-browser", *options) as running:
        link = await running.line(r"^  (http://\S+)$")
        await running.line("waiting for the browser")
        yield SignIn(running, link, server.issuer)


async def test_the_link_asks_for_a_code_with_pkce_and_the_code_is_redeemed_with_its_verifier(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(refresh_token="REFRESH-1")]
        options = ["--scope", "a b", "--resource", "urn:x", "--param", "prompt=consent", "--audience", "orders"]
        async with signing_in(user, server, *options) as sign_in:
            status, address, page = await sign_in.comes_back()
            assert status == 200
            assert "You can close this window" in page
            assert address == f"{sign_in.asked['redirect_uri']}/done", "the code stays in the browser's history"
            ended = await sign_in.running.end()
        assert ended.token == "AT-1"
        asked = sign_in.asked
        assert {name: asked[name] for name in ("response_type", "client_id", "scope", "resource", "prompt")} == {
            "response_type": "code",
            "client_id": "app",
            "scope": "a b",
            "resource": "urn:x",
            "prompt": "consent",
        }
        assert asked["audience"] == "orders"
        redirect = urlsplit(asked["redirect_uri"])
        assert (redirect.scheme, redirect.hostname, redirect.path) == ("http", "127.0.0.1", "/callback")
        form = server.asked_at("/token")[0].form
        assert (form["code"], form["redirect_uri"], form["resource"]) == ("C", asked["redirect_uri"], "urn:x")
        assert asked["code_challenge"] == pkce.challenge(form["code_verifier"])
        for secret in ("AT-1", "REFRESH-1", form["code_verifier"]):
            assert secret not in ended.err


async def test_answers_that_are_not_to_this_sign_in_change_nothing(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        async with signing_in(user, server) as sign_in:
            redirect = sign_in.asked["redirect_uri"]
            for parameters in (
                {"state": "other"},
                {"state": None},
                {"state": "other", "error": "access_denied", "error_description": "<script>EVIL</script>"},
                {"code": None},
                {"code": None, "state": None, "iss": None},
            ):
                status, _, page = await sign_in.comes_back(**parameters)
                assert status == 400
                assert "EVIL" not in page
            good = urlencode({"code": "C", "state": sign_in.asked["state"], "iss": server.issuer})
            assert (await sign_in.visits(f"{redirect}?{good}&code=D"))[0] == 400
            assert (await sign_in.visits(f"{redirect}?{good}", Host="evil.example"))[0] == 400
            assert (await sign_in.visits(f"{redirect}?{good}", method="POST"))[0] == 405
            assert (await sign_in.visits(f"{redirect}/done"))[0] == 404
            assert (await sign_in.visits(redirect.replace("/callback", "/favicon.ico")))[0] == 404
            assert not server.asked_at("/token")
            assert (await sign_in.comes_back())[0] == 200
            ended = await sign_in.running.end()
        assert ended.token == "AT-1"
        assert ended.err.count("an answer was refused: state is not that of this sign-in; still waiting") == 1
        assert "EVIL" not in ended.err


@pytest.mark.parametrize("iss", ["https://evil.example", "<the issuer>/", None])
async def test_an_answer_of_another_issuer_ends_it_and_its_code_goes_nowhere(user: User, iss: str | None) -> None:
    async with ScriptedServer() as server:
        server.metadata = {"authorization_response_iss_parameter_supported": True}
        async with signing_in(user, server) as sign_in:
            iss = iss and iss.replace("<the issuer>", server.issuer)
            _, _, page = await sign_in.comes_back(iss=iss, error="x", error_description="EVIL")
            ended = await sign_in.running.end()
        assert "That did not work" in page
        assert (ended.code, ended.out) == (3, "")
        assert "iss" in ended.err
        assert "EVIL" not in ended.err
        assert not server.asked_at("/token")


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [("access_denied", 4, "sign in again and agree"), ("invalid_scope", 1, "does not know one of the scopes")],
)
async def test_a_refusal_in_the_browser_is_told_at_the_terminal_and_made_harmless(
    user: User, code: str, status: int, words: str
) -> None:
    async with ScriptedServer() as server:
        async with signing_in(user, server) as sign_in:
            _, _, page = await sign_in.comes_back(code=None, error=code, error_description="<b>no\x1b[31m</b>")
            ended = await sign_in.running.end()
        assert "The terminal says why" in page
        assert "<b>" not in page
        assert (ended.code, ended.out) == (status, "")
        assert f"the issuer answers {code} (<b>no?[31m</b>)" in ended.err
        assert words in ended.err
        assert not user.files


async def test_a_code_for_another_redirect_or_verifier_is_the_issuers_to_refuse(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [error_answer("invalid_grant", "redirect_uri does not match")]
        async with signing_in(user, server) as sign_in:
            _, _, page = await sign_in.comes_back(code="of-another")
            ended = await sign_in.running.end()
        assert "That did not work" in page
        assert (ended.code, ended.out) == (1, "")
        assert "invalid_grant (redirect_uri does not match)" in ended.err
        assert "of-another" not in ended.err


async def test_a_code_that_comes_twice_is_redeemed_once(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(), error_answer("invalid_grant")]
        async with signing_in(user, server) as sign_in:
            await asyncio.gather(*(sign_in.comes_back() for _ in range(3)), return_exceptions=True)
            assert (await sign_in.running.end()).token == "AT-1"
        assert len(server.asked_at("/token")) == 1


async def test_a_browser_that_is_closed_ends_the_waiting_in_time(user: User) -> None:
    async with ScriptedServer() as server:
        ended = await user.run("get", *client(server.issuer), "--no-browser", "--wait", "1")
        assert (ended.code, ended.out) == (4, "")
        assert "nobody signed in within 1 s" in ended.err
        assert "--grant device_code" in ended.err


async def test_a_registered_redirect_with_port_and_path_is_used_as_it_is(user: User) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with ScriptedServer() as server:
            options = ["get", *client(server.issuer), "--no-browser", "--redirect-uri", f"http://127.0.0.1:{port}/x"]
            ended = await user.run(*options)
            assert (ended.code, ended.out) == (2, "")
            assert f"http://127.0.0.1:{port}/x can't be listened at" in ended.err
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        async with signing_in(user, server, "--redirect-uri", "http://localhost:0/") as sign_in:
            assert urlsplit(sign_in.asked["redirect_uri"]).hostname == "localhost"
            assert urlsplit(sign_in.asked["redirect_uri"]).path == "/"
            assert (await sign_in.comes_back())[0] == 200
            assert (await sign_in.running.end()).token == "AT-1"


async def test_an_issuer_that_wants_requests_pushed_gets_them_so(user: User) -> None:
    async with ScriptedServer() as server:
        server.metadata = {"require_pushed_authorization_requests": True}
        server.answers["/par"] = [Scripted({"request_uri": "urn:x:1", "expires_in": 60}, 201)]
        async with signing_in(user, server, "--scope", "a") as sign_in:
            assert sign_in.asked == {"client_id": "app", "request_uri": "urn:x:1"}
            sign_in.running.process.send_signal(signal.SIGINT)
            assert (await sign_in.running.end()).code == 130
        assert server.asked_at("/par")[0].form["scope"] == "a"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE with S256"),
        ({"authorization_endpoint": None}, "try --grant device_code"),
        ({"authorization_endpoint": "http://192.0.2.1/authorize"}, "not https"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "not https"),
        ({"authorization_endpoint": "file:///etc/passwd"}, "not https"),
    ],
)
async def test_no_browser_is_sent_where_it_should_not_go(user: User, metadata: dict[str, Any], words: str) -> None:
    seen = user.home / "seen"
    async with ScriptedServer() as server:
        server.metadata = metadata
        ended = await user.run("get", *client(server.issuer), "--wait", "1", BROWSER=f"touch {seen} %s")
        assert (ended.code, ended.out) == (3, "")
        assert words in ended.err
        assert not seen.exists()


# --- device ----------------------------------------------------------------------------------------------------


def codes(server: ScriptedServer, **changes: Any) -> Scripted:
    members = {
        "device_code": "DEVICE-CODE",
        "user_code": "WDJB-MJHT",
        "verification_uri": f"{server.origin}/activate",
        "verification_uri_complete": f"{server.origin}/activate?user_code=WDJB-MJHT",
        "expires_in": 60,
        "interval": 1,
        **changes,
    }
    return Scripted(members)


async def test_a_device_shows_where_to_go_and_waits_politely(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/device"] = [codes(server)]
        server.answers["/token"] = [error_answer("authorization_pending"), token_answer(refresh_token="REFRESH-1")]
        ended = await user.run("get", *client(server.issuer), "--grant", "device_code", "--scope", "a", "-v")
        assert ended.token == "AT-1"
        shown = [line.strip() for line in ended.err.splitlines()]
        for line in (
            f"{server.origin}/activate",
            "WDJB-MJHT",
            f"{server.origin}/activate?user_code=WDJB-MJHT",
            "waiting for you, at most 60 s",
        ):
            assert line in shown
        for secret in ("DEVICE-CODE", "AT-1", "REFRESH-1"):
            assert secret not in ended.err
        assert server.asked_at("/device")[0].form == {"client_id": "app", "scope": "a"}


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (error_answer("access_denied"), 4, "access_denied"),
        (error_answer("expired_token"), 4, "nobody entered the code in time"),
        (error_answer("authorization_pending"), 4, "nobody entered the code in time"),
        (Scripted("", 500), 3, "status 500"),
    ],
)
async def test_a_device_gives_up_when_there_is_nothing_to_wait_for(
    user: User, answer: Scripted, code: int, words: str
) -> None:
    async with ScriptedServer() as server:
        server.answers["/device"] = [codes(server, expires_in=2)]
        server.answers["/token"] = [answer]
        ended = await user.run("get", *client(server.issuer), "--grant", "device_code")
        assert (ended.code, ended.out) == (code, "")
        assert words in ended.err
        assert not user.files


async def test_slow_down_and_a_failing_connection_are_borne(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/device"] = [codes(server)]
        server.answers["/token"] = [Scripted("", drop=True), error_answer("slow_down"), token_answer()]
        started = asyncio.get_running_loop().time()
        ended = await user.run("get", *client(server.issuer), "--grant", "device_code", "-v")
        assert ended.token == "AT-1"
        # 1 s, doubled after the failure, and 5 s more after slow_down.
        assert asyncio.get_running_loop().time() - started >= 1 + 2 + 7
        assert "the issuer does not answer; asking again" in ended.err
        assert "asked less often" in ended.err


@pytest.mark.parametrize(
    ("metadata", "answer", "words"),
    [
        ({"device_authorization_endpoint": None}, None, "try --grant authorization_code"),
        ({}, Scripted({"device_code": "DC"}), "expires_in"),
        ({}, Scripted({"device_code": "DC", "expires_in": 9, "user_code": "\x1b[2J"}), "can't be shown"),
    ],
)
async def test_a_device_without_codes_has_nothing_to_show(
    user: User, metadata: dict[str, Any], answer: Scripted | None, words: str
) -> None:
    async with ScriptedServer() as server:
        server.metadata = metadata
        server.answers["/device"] = [answer] if answer is not None else []
        ended = await user.run("get", *client(server.issuer), "--grant", "device_code")
        assert (ended.code, ended.out) == (3, "")
        assert words in ended.err
        assert "\x1b" not in ended.err
