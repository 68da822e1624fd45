"""`token revoke` as users run it: the issuer withdraws, and nothing is left behind."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.authorization_server import Scripted, ScriptedServer, error_answer, token_answer
from tests.cli.token.command import User, client
from tests.services import free_port


async def signed_in(user: User, server: ScriptedServer, *options: str, name: str = "1") -> list[str]:
    """Store a token of a user; returns who it was."""
    page = f"{server.origin}/activate"
    codes = {"device_code": "DC", "user_code": "U", "verification_uri": page, "expires_in": 60, "interval": 1}
    server.answers["/device"] = [Scripted(codes)]
    server.answers["/token"] = [token_answer(access_token=f"AT-{name}", refresh_token=f"RT-{name}")]
    server.answers["/revoke"] = [Scripted("")]
    who = client(server.issuer)
    assert (await user.run("get", *who, "--grant", "device_code", *options)).token == f"AT-{name}"
    return who


def forms(server: ScriptedServer) -> list[tuple[str, str | None]]:
    """Token and hint of each revocation."""
    return [(asked.form["token"], asked.form.get("token_type_hint")) for asked in server.asked_at("/revoke")]


async def test_all_that_is_stored_is_withdrawn_the_refresh_token_first(user: User) -> None:
    async with ScriptedServer() as server:
        who = await signed_in(user, server)
        ended = await user.run("revoke", *who, "-v")
        assert (ended.code, ended.out) == (0, "")
        assert ended.err.endswith("revoked 1 stored token\n")
        assert forms(server) == [("RT-1", "refresh_token"), ("AT-1", "access_token")]
        assert not user.files
        for secret in ("AT-1", "RT-1"):
            assert secret not in ended.err
        again = await user.run("revoke", *who)
        assert (again.code, again.err) == (0, "nothing is stored for this issuer, client and scope\n")


async def test_a_scope_picks_among_what_is_stored_and_strangers_stay(user: User) -> None:
    async with ScriptedServer() as server:
        who = await signed_in(user, server, "--scope", "a", name="a")
        await signed_in(user, server, "--scope", "b", name="b")
        await signed_in(user, server, "--client-id", "other", name="other")
        assert (await user.run("revoke", *who, "--scope", "a")).code == 0
        assert [token for token, _ in forms(server)] == ["RT-a", "AT-a"]
        assert len(user.files) == 2
        assert (await user.run("revoke", *who)).err == "revoked 1 stored token\n"
        assert len(user.files) == 1


async def test_a_token_that_is_given_is_withdrawn_and_no_longer_handed_out(user: User) -> None:
    async with ScriptedServer() as server:
        who = await signed_in(user, server)
        (user.home / "token").write_text("Bearer AT-1\n")
        ended = await user.run("revoke", "@token", *who, "--type", "access_token")
        assert (ended.code, ended.out, ended.err) == (0, "", "revoked\n")
        assert forms(server) == [("AT-1", "access_token")]
        # The refresh token is another permission, and still good.
        members = json.loads(user.files[0].read_text())["token"]
        assert members["refresh_token"] == "RT-1"
        assert members["expires_at"] <= time.time()
        assert (await user.run("revoke", "-", *who, text="RT-1\n")).code == 0
        assert not user.files
        assert forms(server)[1:] == [("RT-1", None)]


async def test_a_token_from_elsewhere_can_be_withdrawn_too(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/revoke"] = [Scripted("")]
        assert (await user.run("revoke", *client(server.issuer, secret="S"), "--", "-x")).code == 0
        assert forms(server) == [("-x", None)]
        assert not (user.home / "state").exists()


@pytest.mark.parametrize(
    ("metadata", "answer", "code", "words"),
    [
        ({}, error_answer("invalid_client", status=401), 1, "secret is wrong or missing"),
        ({}, error_answer("unsupported_token_type"), 1, "it lives until it expires"),
        ({}, Scripted("", 503), 3, "try again later"),
        ({}, Scripted("", drop=True), 3, "closes the connection"),
        ({"revocation_endpoint": None}, None, 3, "--local deletes"),
    ],
)
async def test_a_token_that_could_not_be_withdrawn_stays_stored(
    user: User, metadata: dict[str, Any], answer: Scripted | None, code: int, words: str
) -> None:
    async with ScriptedServer() as server:
        who = await signed_in(user, server)
        server.metadata = metadata
        server.answers["/revoke"] = [answer] if answer is not None else []
        ended = await user.run("revoke", *who)
        assert (ended.code, ended.out) == (code, "")
        assert words in ended.err
        assert len(user.files) == 1


async def test_what_is_stored_can_be_deleted_without_the_issuer(user: User) -> None:
    async with ScriptedServer() as server:
        who = await signed_in(user, server)
        server.asked.clear()
        ended = await user.run("revoke", *who, "--local")
        assert (ended.code, ended.err) == (0, "deleted 1 stored token\n")
        assert not server.asked
        assert not user.files


async def test_an_issuer_that_is_down_is_told(user: User) -> None:
    ended = await user.run("revoke", "token", *client(f"http://127.0.0.1:{free_port()}"))
    assert (ended.code, ended.out) == (3, "")
    assert "can't be reached" in ended.err
