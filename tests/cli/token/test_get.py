"""`token get` as users run it: what is printed where, what is asked, what is kept, and how it ends when it can't."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.token.get import command
from tests.authorization_server import Scripted, ScriptedServer, error_answer, token_answer
from tests.cli.token.command import ROOT, User, client
from tests.issuer import encode
from tests.services import free_port

SECRET = "S3CRET-of-the-client"


def stored(user: User) -> dict[str, Any]:
    """The token of the only file."""
    (file,) = user.files
    members: dict[str, Any] = json.loads(file.read_bytes())["token"]
    return members


def rewrite(user: User, **members: Any) -> None:
    """Change the token of the only file."""
    (file,) = user.files
    document = json.loads(file.read_bytes())
    document["token"].update(members)
    file.write_text(json.dumps(document))


def about_to_expire(user: User, seconds: float) -> None:
    """Let the token of the only file be an old one that ends soon."""
    rewrite(user, obtained_at=time.time() - 3600, expires_at=time.time() + seconds)


async def test_the_token_alone_is_on_standard_output_and_nothing_is_said(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        ended = await user.run("get", *client(server.issuer, secret=SECRET), "--scope", "b a", "--scope", "c")
        assert (ended.out, ended.err) == ("AT-1\n", "")
        assert server.asked_at("/token")[0].form == {"grant_type": "client_credentials", "scope": "a b c"}


async def test_a_token_is_kept_for_its_owner_and_taken_until_it_is_about_to_expire(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(), token_answer(access_token="AT-2")]
        options = ["get", *client(server.issuer, secret=SECRET)]
        assert (await user.run(*options)).token == "AT-1"
        (file,) = user.files
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(user.tokens.stat().st_mode) == 0o700
        assert SECRET not in file.read_text()
        assert (await user.run(*options)).token == "AT-1"
        assert len(server.asked_at("/token")) == 1
        about_to_expire(user, 30)
        assert (await user.run(*options)).token == "AT-2"
        assert stored(user)["access_token"] == "AT-2"


async def test_a_stored_token_needs_neither_the_issuer_nor_the_secret(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        await user.run("get", *client(server.issuer, secret=SECRET))
        issuer = server.issuer
    again = await user.run("get", *client(issuer), "--client-secret", "@/nowhere")
    assert again.token == "AT-1"


async def test_another_purpose_or_an_option_asks_again(user: User) -> None:
    async with ScriptedServer() as server:
        usual = ["get", *client(server.issuer, secret=SECRET)]
        server.answers["/token"] = [token_answer()]
        await user.run(*usual)
        for number, (options, is_asked_again) in enumerate(
            (
                (["--valid-for", "200"], False),
                (["--valid-for", "301"], True),
                (["--new"], True),
                (["--no-store"], True),
                (["--scope", "a"], True),
                (["--resource", "urn:x"], True),
                (["--audience", "x"], True),
                (["--param", "x=y"], True),
                (["--client-id", "other"], True),
            )
        ):
            server.asked.clear()
            server.answers["/token"] = [token_answer(access_token=f"AT-{number}")]
            found = (await user.run(*usual, *options)).token
            assert (found == f"AT-{number}" and bool(server.asked_at("/token"))) is is_asked_again, options


async def test_nothing_is_written_without_a_store(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        await user.run("get", *client(server.issuer, secret=SECRET), "--no-store")
        assert not (user.home / "state").exists()


async def test_json_tells_when_it_expires_and_what_it_allows(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(scope="a")]
        document = json.loads((await user.run("get", *client(server.issuer, secret=SECRET), "--json")).out)
        assert document.pop("expires_at") == pytest.approx(time.time() + 300, abs=60)
        assert document == {
            "access_token": "AT-1",
            "token_type": "Bearer",
            "scope": "a",
            "issuer": server.issuer,
        }


async def test_audience_resources_and_parameters_are_sent(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        options = ["--audience", "orders", "--resource", "https://a.example", "--resource", "urn:b", "--param", "x=a=b"]
        await user.run("get", *client(server.issuer, secret=SECRET), *options)
        assert sorted(server.asked_at("/token")[0].pairs) == [
            ("audience", "orders"),
            ("grant_type", "client_credentials"),
            ("resource", "https://a.example"),
            ("resource", "urn:b"),
            ("x", "a=b"),
        ]


async def test_a_narrower_scope_than_asked_for_is_told(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(scope="a")]
        ended = await user.run("get", *client(server.issuer, secret=SECRET), "--scope", "a b")
        assert ended.token == "AT-1"
        assert ended.err == "warning: the issuer granted a token without b\n"


# --- where the secret comes from -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["option", "file", "standard input", "environment", "literal in the environment"])
async def test_a_secret_need_not_stand_on_the_command_line(user: User, way: str) -> None:
    (user.home / "secret").write_text(f"{SECRET}\n")
    options, text, environ, expected = {
        "option": (["--client-secret", SECRET], None, {}, SECRET),
        "file": (["--client-secret", "@secret"], None, {}, SECRET),
        "standard input": (["--client-secret", "-"], f"{SECRET}\nmore\n", {}, SECRET),
        "environment": ([], None, {"OAUTH_GATEWAY_CLIENT_SECRET": SECRET}, SECRET),
        "literal in the environment": ([], None, {"OAUTH_GATEWAY_CLIENT_SECRET": "@secret"}, "@secret"),
    }[way]
    async with ScriptedServer() as server:
        server.metadata = {"token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"]}
        server.answers["/token"] = [token_answer()]
        ended = await user.run("get", *client(server.issuer), *options, text=text, **environ)
        assert ended.token == "AT-1"
        assert server.asked_at("/token")[0].form["client_secret"] == expected


async def test_at_a_terminal_the_secret_is_asked_for_and_not_shown(user: User) -> None:
    async with ScriptedServer() as server:
        server.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        server.answers["/token"] = [token_answer()]
        words = [sys.executable, "-m", "gateway", "token", "get", *client(server.issuer, secret="-")]
        environ = {**os.environ, "XDG_STATE_HOME": str(user.home), "PYTHONPATH": str(ROOT)}
        # A terminal of its own, whose standard output goes to a file: what a person sees is all the rest.
        out = user.home / "out"
        pid, terminal = pty.fork()
        if pid == 0:
            os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
            os.execvpe(words[0], words, environ)
        try:
            seen = await asyncio.to_thread(_dialogue, terminal, "client secret", SECRET)
        finally:
            os.close(terminal)
            _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, seen
        assert out.read_text() == "AT-1\n"
        assert SECRET not in seen
        assert server.asked_at("/token")[0].form["client_secret"] == SECRET


def _dialogue(terminal: int, prompt: str, answer: str) -> str:
    """What is seen at a terminal where the prompt is answered."""
    seen = ""
    while True:
        try:
            piece = os.read(terminal, 4096).decode()
        except OSError:  # the other side is closed
            return seen
        had_prompt = prompt in seen
        seen += piece
        if prompt in seen and not had_prompt:
            os.write(terminal, f"{answer}\n".encode())


async def test_issuer_client_and_scope_may_stand_in_the_environment(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        environ = {
            "OAUTH_GATEWAY_ISSUER": server.issuer,
            "OAUTH_GATEWAY_CLIENT_ID": "app",
            "OAUTH_GATEWAY_CLIENT_SECRET": SECRET,
            "OAUTH_GATEWAY_SCOPE": "a b",
        }
        assert (await user.run("get", **environ)).token == "AT-1"
        assert server.asked_at("/token")[0].form["scope"] == "a b"


# --- how it ends when it can't ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "answer", "code", "words"),
    [
        ({}, error_answer("invalid_client", "who?", 401), 1, ["invalid_client (who?)", "secret is wrong or missing"]),
        ({"scopes_supported": ["x", "y"]}, error_answer("invalid_scope"), 1, ["invalid_scope", "it lists: x y"]),
        ({}, error_answer("unauthorized_client"), 1, ["may not use this grant"]),
        ({}, error_answer("odd\x1b[2J", "\x1b]0;x\x07"), 1, ["odd?[2J"]),
        ({}, Scripted("<html>", 401), 3, ["status 401", "secret is wrong or missing"]),
        ({}, Scripted("", 503), 3, ["status 503", "try again later"]),
        ({}, Scripted("", 302, {"Location": "/elsewhere"}), 3, ["status 302", "redirects are not followed"]),
        ({}, Scripted("<html>"), 3, ["not JSON"]),
        ({}, Scripted("", drop=True), 3, ["closes the connection"]),
        ({}, token_answer(token_type="DPoP"), 3, ["DPoP", "bearer tokens alone"]),
        ({}, token_answer(token_type="mac"), 3, ["token_type is not Bearer"]),
        ({}, token_answer(access_token="AT\x1b[2J"), 3, ["no token"]),
        ({"token_endpoint": None}, None, 3, ["does not offer tokens"]),
        ({"token_endpoint": "http://192.0.2.1/token"}, None, 3, ["not https"]),
        ({"token_endpoint": 7}, None, 3, ["no text"]),
        ({"issuer": "https://other.example"}, None, 3, ["is that of https://other.example", "to the letter"]),
        ({"issuer": None}, None, 3, ["is that of nobody"]),
        ({"issuer": "\x1b[2J"}, None, 3, [r"is that of \x1b[2J"]),
    ],
)
async def test_what_goes_wrong_is_told_with_what_to_do_and_no_secret(
    user: User, metadata: dict[str, Any], answer: Scripted | None, code: int, words: list[str]
) -> None:
    async with ScriptedServer() as server:
        server.metadata = metadata
        server.answers["/token"] = [answer] if answer is not None else []
        ended = await user.run("get", *client(server.issuer, secret=SECRET), "-v")
        assert (ended.code, ended.out) == (code, "")
        for word in words:
            assert word in ended.err
        assert SECRET not in ended.err
        assert "\x1b" not in ended.err
        assert not user.files


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Scripted("", 301, {"Location": "https://new.example/"}), ["status 301", "redirects are not followed"]),
        (Scripted("", 404), ["status 404", "/.well-known/openid-configuration", "--metadata"]),
        (Scripted("<html>"), ["not JSON"]),
        (Scripted(["x"]), ["not a JSON object"]),
    ],
)
async def test_metadata_that_is_none_is_told(user: User, answer: Scripted, words: list[str]) -> None:
    async with ScriptedServer() as server:
        for place in ("oauth-authorization-server", "openid-configuration"):
            server.answers[f"/.well-known/{place}"] = [answer]
        ended = await user.run("get", *client(server.issuer, secret=SECRET))
        assert (ended.code, ended.out) == (3, "")
        for word in words:
            assert word in ended.err


async def test_an_issuer_that_is_down_or_silent_is_told(user: User) -> None:
    issuer = f"http://127.0.0.1:{free_port()}"
    down = await user.run("get", *client(issuer, secret=SECRET))
    assert (down.code, down.out) == (3, "")
    assert f"{issuer} can't be reached (nothing answers there)" in down.err
    with socket.create_server(("127.0.0.1", 0)) as listener:
        issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
        silent = await user.run("get", *client(issuer, secret=SECRET), "--timeout", "0.5")
    assert (silent.code, silent.out) == (3, "")
    assert "no answer in 0.5 s" in silent.err
    assert "--timeout" in silent.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--client-id", "app"], "--issuer is missing"),
        (["--issuer", "https://as.example"], "--client-id is missing"),
        (client("http://as.example"), "plain http"),
        (client("ftp://as.example"), "https:// address"),
        (client("https://as.example?x=1"), "https:// address"),
        (client("https://as.example#x"), "https:// address"),
        (client("http://[::1"), "no URL"),
        (client("http://127.0.0.1:99999"), "no URL"),
        ([*client("https://as.example"), "--metadata", "http://as.example/x"], "plain http"),
        ([*client("https://as.example"), "--client-secret", "@/nowhere"], "can't be read from /nowhere"),
        ([*client("https://as.example"), "--scope", 'a"b'], "RFC 6749 §3.3"),
        ([*client("https://as.example"), "--resource", "orders"], "absolute URI"),
        ([*client("https://as.example"), "--resource", "https://a#b"], "absolute URI"),
        ([*client("https://as.example"), "--param", "x"], "NAME=VALUE"),
        ([*client("https://as.example"), "--param", "scope=x"], "option of its own"),
        ([*client("https://as.example"), "--grant", "password"], "password"),
        ([*client("https://as.example"), "--redirect-uri", "https://app.example/"], "on this machine"),
        ([*client("https://as.example"), "--refresh-token", "x"], "--grant refresh_token"),
        ([*client("https://as.example"), "--ca", "/nowhere"], "can't be used"),
        ([*client("https://as.example"), "--certificate-key", "x"], "needs --certificate"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: list[str], words: str) -> None:
    ended = CliRunner().invoke(command, options, env={"XDG_STATE_HOME": str(tmp_path)})
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert words in ended.stderr.replace("\n", " ")


# --- refresh ---------------------------------------------------------------------------------------------------


async def signed_in(user: User, server: ScriptedServer, **members: Any) -> list[str]:
    """The options of a user who signed in at a device some time ago and whose token is about to expire."""
    page = f"{server.origin}/activate"
    codes = {"device_code": "DC", "user_code": "U", "verification_uri": page, "expires_in": 60, "interval": 1}
    server.answers["/device"] = [Scripted(codes)]
    server.answers["/token"] = [token_answer(refresh_token="RT-1", **members)]
    options = ["get", *client(server.issuer)]
    assert (await user.run(*options, "--grant", "device_code")).token == "AT-1"
    about_to_expire(user, 30)
    server.asked.clear()
    return options


async def test_a_token_that_is_about_to_expire_is_refreshed_and_the_rotated_one_kept(user: User) -> None:
    async with ScriptedServer() as server:
        options = await signed_in(user, server)
        server.answers["/token"] = [token_answer(access_token="AT-2", refresh_token="RT-2")]
        assert (await user.run(*options, "--grant", "refresh_token")).token == "AT-2"
        assert server.asked_at("/token")[0].form == {
            "grant_type": "refresh_token",
            "refresh_token": "RT-1",
            "client_id": "app",
        }
        assert (stored(user)["access_token"], stored(user)["refresh_token"]) == ("AT-2", "RT-2")
        assert "RT-1" not in user.files[0].read_text()


async def test_a_refresh_token_goes_on_when_the_issuer_sends_no_other(user: User) -> None:
    async with ScriptedServer() as server:
        options = await signed_in(user, server)
        server.answers["/token"] = [token_answer(access_token="AT-2")]
        assert (await user.run(*options, "--grant", "authorization_code")).token == "AT-2"
        assert stored(user)["refresh_token"] == "RT-1"


async def test_two_processes_at_once_refresh_once(user: User) -> None:
    async with ScriptedServer() as server:
        options = await signed_in(user, server)
        # Whoever would send RT-1 a second time would be refused, and lose everything.
        server.answers["/token"] = [
            token_answer(access_token="AT-2", refresh_token="RT-2"),
            error_answer("invalid_grant"),
        ]
        runs = [user.run(*options, "--grant", "refresh_token") for _ in range(4)]
        assert [ended.token for ended in await asyncio.gather(*runs)] == ["AT-2"] * 4
        assert len(server.asked_at("/token")) == 1
        assert stored(user)["refresh_token"] == "RT-2"


async def test_a_spent_refresh_token_leads_to_a_new_sign_in_or_to_an_end(user: User) -> None:
    async with ScriptedServer() as server:
        options = await signed_in(user, server)
        server.answers["/token"] = [error_answer("invalid_grant"), error_answer("invalid_grant"), token_answer()]
        ended = await user.run(*options, "--grant", "refresh_token")
        assert (ended.code, ended.out) == (1, "")
        assert "invalid_grant" in ended.err
        assert "sign in again" in ended.err
        assert (await user.run(*options, "--grant", "device_code")).token == "AT-1"
        assert [asked.form["grant_type"].rpartition(":")[2] for asked in server.asked_at("/token")] == [
            "refresh_token",
            "refresh_token",
            "device_code",
        ]


async def test_without_a_refresh_token_there_is_nothing_to_refresh(user: User) -> None:
    async with ScriptedServer() as server:
        ended = await user.run("get", *client(server.issuer), "--grant", "refresh_token")
        assert (ended.code, ended.out) == (1, "")
        assert "offline_access" in ended.err


async def test_a_given_refresh_token_is_used_and_kept(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        options = ["--grant", "refresh_token", "--refresh-token", "-"]
        assert (await user.run("get", *client(server.issuer), *options, text="RT-given\n")).token == "AT-1"
        assert server.asked_at("/token")[0].form["refresh_token"] == "RT-given"
        assert stored(user)["refresh_token"] == "RT-given"


async def test_new_refreshes_what_is_still_good(user: User) -> None:
    async with ScriptedServer() as server:
        options = await signed_in(user, server)
        about_to_expire(user, 3000)
        server.answers["/token"] = [token_answer(access_token="AT-2")]
        assert (await user.run(*options, "--grant", "refresh_token")).token == "AT-1"
        assert (await user.run(*options, "--grant", "refresh_token", "--new")).token == "AT-2"


async def test_while_the_issuer_is_down_a_token_is_used_to_its_end(user: User) -> None:
    async with ScriptedServer() as server:
        options = await signed_in(user, server)
    ended = await user.run(*options, "--grant", "refresh_token")
    assert ended.token == "AT-1"
    assert "can't be reached" in ended.err
    assert "the stored token is good for" in ended.err
    assert stored(user)["refresh_token"] == "RT-1"
    for option in (["--new"], ["--valid-for", "60"]):
        assert (await user.run(*options, "--grant", "refresh_token", *option)).code == 3
    about_to_expire(user, -1)
    assert (await user.run(*options, "--grant", "refresh_token")).code == 3


@pytest.mark.parametrize("answer", [Scripted("", 500), Scripted("", drop=True), error_answer("invalid_client")])
async def test_a_refresh_that_fails_spoils_nothing(user: User, answer: Scripted) -> None:
    async with ScriptedServer() as server:
        options = await signed_in(user, server)
        about_to_expire(user, -1)
        server.answers["/token"] = [answer]
        assert (await user.run(*options, "--grant", "authorization_code")).code in (1, 3)
        assert stored(user)["refresh_token"] == "RT-1"
        assert not server.asked_at("/authorize")


# --- how long a token lasts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires_in", "asks"),
    [("300", 1), (10**30, 1), (None, 1), ("soon", 1), (-5, 2)],
)
async def test_any_lifetime_is_taken_for_what_it_is_worth(user: User, expires_in: Any, asks: int) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(expires_in=expires_in)]
        for _ in range(2):
            assert (await user.run("get", *client(server.issuer, secret=SECRET))).token == "AT-1"
        assert len(server.asked_at("/token")) == asks


async def test_a_jwt_says_itself_when_it_ends_if_the_issuer_does_not(user: User) -> None:
    expires = int(time.time()) + 100
    token = b".".join(map(encode, ({"alg": "RS256"}, {"exp": expires}, b"signature"))).decode()
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(access_token=token, expires_in=None)]
        assert (await user.run("get", *client(server.issuer, secret=SECRET))).token == token
        assert stored(user)["expires_at"] == expires


# --- the files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "foreign", "readable"])
async def test_a_file_that_can_not_be_used_is_told_and_replaced(user: User, damage: str) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(), token_answer(access_token="AT-2")]
        options = ["get", *client(server.issuer, secret=SECRET)]
        await user.run(*options)
        (file,) = user.files
        if damage == "cut":
            file.write_bytes(file.read_bytes()[:50])
        elif damage == "foreign":
            file.write_text(file.read_text().replace('"app"', '"other"'))
        else:
            file.chmod(0o644)
        ended = await user.run(*options)
        assert ended.token == "AT-2"
        assert ended.err.startswith("warning: ")
        assert "can't be used" in ended.err
        assert "AT-1" not in ended.err
        assert (await user.run(*options)).err == ""


async def test_where_nothing_can_be_kept_the_token_is_printed_all_the_same(user: User) -> None:
    (user.home / "state").write_text("a file where a folder should be")
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(refresh_token="RT")]
        ended = await user.run("get", *client(server.issuer, secret=SECRET))
        assert ended.token == "AT-1"
        assert "warning: " in ended.err


async def test_a_verbose_run_tells_each_step_and_no_secret(user: User) -> None:
    async with ScriptedServer() as server:
        options = await signed_in(user, server)
        about_to_expire(user, -1)
        server.answers["/token"] = [token_answer(access_token="AT-2", refresh_token="RT-2")]
        ended = await user.run(*options, "--grant", "refresh_token", "-v")
        for word in ("metadata: ", "authenticates by none", "refreshed", str(user.files[0])):
            assert word in ended.err
        for secret in ("AT-", "RT-"):
            assert secret not in ended.err


async def test_ctrl_c_ends_it_at_once_with_130(user: User) -> None:
    async with ScriptedServer() as server, user.runs("get", *client(server.issuer), "--no-browser") as running:
        await running.line("waiting for the browser")
        running.process.send_signal(signal.SIGINT)
        ended = await running.end()
        assert (ended.code, ended.out) == (130, "")
        assert "Traceback" not in ended.err
        assert ended.err.endswith("interrupted\n")


async def test_whoever_waits_for_another_process_is_told_and_gets_its_token(user: User) -> None:
    async with ScriptedServer() as server:
        page = f"{server.origin}/activate"
        codes = {"device_code": "DC", "user_code": "U", "verification_uri": page, "expires_in": 60, "interval": 1}
        server.answers["/device"] = [Scripted(codes)]
        server.answers["/token"] = [error_answer("authorization_pending")]
        options = ["get", *client(server.issuer), "--grant", "device_code"]
        async with user.runs(*options) as first:
            await first.line("waiting for you")
            async with user.runs(*options) as second:
                await second.line("another oauth-gateway is getting this token")
                server.answers["/token"] = [token_answer()]
                assert (await first.end()).token == (await second.end()).token == "AT-1"
        assert len(server.asked_at("/device")) == 1


async def test_the_help_says_how_it_ends(user: User) -> None:
    shown = (await user.run("get", "--help")).out
    for word in ("Exit status:", "--grant", "--resource", "130"):
        assert word in shown
