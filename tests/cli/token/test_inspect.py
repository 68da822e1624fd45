"""`token inspect` as users run it: read offline, judged by a configuration or by the issuer itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner

from gateway.cli.token.inspect import command
from tests.authorization_server import Scripted, ScriptedServer, token_answer
from tests.cli.token.command import User, client
from tests.issuer import FakeIssuer, private_key
from tests.services import free_port
from tests.world import AUDIENCE, ISSUER, mint, public_jwks


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """Two issuers, of which one introspects nothing, and one route."""
    (tmp_path / "jwks.json").write_text(public_jwks())
    file = tmp_path / "gateway.yaml"
    file.write_text(f"""\
issuers:
  corp: {{issuer: "{ISSUER}", audience: {AUDIENCE}, jwks_file: {tmp_path}/jwks.json}}
  other: {{issuer: "https://other.example/realms/x", audience: a, jwks_file: {tmp_path}/jwks.json}}
routes: [{{path: /x, respond: {{}}}}]
""")
    return file


async def test_a_token_is_read_offline_and_nothing_is_said_to_be_proven(user: User) -> None:
    token = mint(scope="orders:read")
    told = await user.run("inspect", token)
    assert (told.code, told.err) == (0, "")
    for words in (f'"{ISSUER}"', '"orders:read"', "in 4 min", "nothing of this is proven"):
        assert words in told.out
    (user.home / "token").write_text(f"Authorization: Bearer {token}\n")
    for way, text in (("@token", None), ("-", f"{token}\n")):
        assert (await user.run("inspect", way, text=text)).out.splitlines()[1:10] == told.out.splitlines()[1:10]


async def test_an_opaque_token_says_so_and_who_can_be_asked(user: User) -> None:
    told = await user.run("inspect", "opaque-token")
    assert told.code == 0
    assert "an opaque token" in told.out
    assert "introspection" in told.out
    assert "--client-id" in told.out


async def test_a_configuration_tells_which_issuer_and_key_accept_it(user: User, configuration: Path) -> None:
    told = await user.run("inspect", mint(scope="a b"), "-c", str(configuration), "--scope", "b")
    assert told.code == 0
    assert "ok  issuer         iss is that of issuer corp" in told.out
    assert f"({configuration}:2)" in told.out
    assert "ok  scopes" in told.out
    assert told.out.endswith("=> accepted as a token of issuer corp, by its key k1\n")


@pytest.mark.parametrize(
    ("claims", "options", "reason", "words"),
    [
        ({"exp": 1}, [], "401 token_expired", ["the signature is good: key k1 of issuer corp"]),
        (
            {"exp": 1, "aud": "x", "sub": None},
            [],
            "401 token_expired",
            ["audience_mismatch: aud", "claim_invalid: sub"],
        ),
        ({"aud": "x"}, [], "401 audience_mismatch", [AUDIENCE]),
        ({"nonce": "n", "at_hash": "h"}, [], "401 token_type_refused", ["ID token"]),
        ({"iss": f"{ISSUER}/"}, [], "401 issuer_unknown", ["corp", "nearly the same, but every character counts"]),
        ({"iss": "https://x.example"}, [], "401 issuer_unknown", ["issuer other is https://other.example/realms/x"]),
        ({"scope": "a"}, ["--scope", "a b"], "403 scope_insufficient", ["the token lacks b"]),
        ({"cnf": {"jkt": "x"}}, [], "401 binding_mismatch", []),
    ],
)
def test_a_refused_token_is_told_every_reason(
    configuration: Path, claims: dict[str, Any], options: list[str], reason: str, words: list[str]
) -> None:
    told = CliRunner().invoke(command, [mint(**claims), "-c", str(configuration), *options])
    assert told.exit_code == 1
    assert f"=> refused: {reason}. " in told.stdout
    for word in words:
        assert word in told.stdout


async def test_a_scope_of_the_environment_is_none_that_a_route_asks_for(user: User, configuration: Path) -> None:
    told = await user.run("inspect", mint(scope="a"), "-c", str(configuration), OAUTH_GATEWAY_SCOPE="openid x")
    assert told.code == 0, told.out


async def test_a_forged_or_opaque_token_is_refused(user: User, configuration: Path) -> None:
    forged = jwt.encode(
        {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "exp": 2**33}, private_key("other rsa"), "RS256", {"kid": "k1"}
    )
    told = await user.run("inspect", forged, "-c", str(configuration))
    assert told.code == 1
    assert "refused: 401 signature_invalid" in told.out
    assert "the signature is good" not in told.out
    opaque = await user.run("inspect", "opaque", "-c", str(configuration))
    assert opaque.code == 1
    assert "token_malformed" in opaque.out


async def test_json_has_all_of_it(user: User, configuration: Path) -> None:
    told = json.loads((await user.run("inspect", mint(scope="a"), "-c", str(configuration), "--json")).out)
    assert (told["kind"], told["header"]["kid"], told["claims"]["scope"], told["problem"]) == ("jwt", "k1", "a", None)
    judgement = told["judgement"]
    assert (judgement["accepted"], judgement["issuer"], judgement["key"]) == (True, "corp", "k1")
    assert [step["step"] for step in judgement["steps"]][:2] == ["credential", "issuer"]
    refused = json.loads((await user.run("inspect", mint(exp=1), "-c", str(configuration), "--json")).out)["judgement"]
    assert (refused["accepted"], refused["status"], refused["reason"]) == (False, 401, "token_expired")
    assert json.loads((await user.run("inspect", "x", "--json")).out)["judgement"] is None


def test_a_bad_configuration_or_option_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("issuers: {corp: {}}\nroutes: []\n")
    for arguments, words in (
        (["x", "-c", str(bad)], "issuers.corp.audience"),
        (["x", "-c", "/nowhere.yaml"], "there is no such file"),
        ([], "TOKEN is missing"),
        (["@/nowhere"], "can't be read"),
        (["a b"], "no token"),
        (["x", "--issuer", "http://as.example"], "plain http"),
        (client("https://as.example"), "no token is stored"),
    ):
        told = CliRunner().invoke(command, arguments, env={"XDG_STATE_HOME": str(tmp_path)})
        assert (told.exit_code, told.stdout) == (2, "")
        assert words in told.stderr


# --- by the issuer itself --------------------------------------------------------------------------------------


async def test_an_issuer_proves_its_own_tokens_and_no_others(user: User) -> None:
    async with FakeIssuer() as issuer:
        token = mint(iss=issuer.issuer)
        told = await user.run("inspect", token, "--issuer", issuer.issuer)
        assert told.code == 0, told.out
        assert "RS256 signature of key k1" in told.out
        assert "mapping" not in told.out
        assert (await user.run("inspect", token, "--issuer", issuer.issuer, "--audience", "other")).code == 1
        assert "issuer_unknown" in (await user.run("inspect", mint(), "--issuer", issuer.issuer)).out


async def test_an_issuer_of_the_environment_is_asked_only_when_told_to(user: User) -> None:
    async with FakeIssuer() as issuer:
        token = mint(iss=issuer.issuer)
        environ = {"OAUTH_GATEWAY_ISSUER": issuer.issuer}
        assert "nothing of this is proven" in (await user.run("inspect", token, **environ)).out
        assert "nothing of this" in (await user.run("inspect", token, "--issuer", issuer.issuer, "--offline")).out
        assert not issuer.requests
        assert "accepted" in (await user.run("inspect", token, "--introspect", **environ)).out


async def test_an_opaque_token_is_asked_about_as_a_client(user: User) -> None:
    async with FakeIssuer() as issuer:
        issuer.active["opaque"] = {"sub": "u1", "scope": "a", "aud": "x", "client_id": "app\x1b"}
        secret = "S3CRET ${HOME}"
        options = client(issuer.issuer, name="api", secret=secret)
        told = await user.run("inspect", "opaque", *options, "-v")
        assert told.code == 0, told.out
        assert "what the issuer says of it" in told.out
        assert r'"app\u001b"' in told.out
        assert secret not in told.out + told.err
        form, headers = issuer.introspected[0]
        assert form["token"] == "opaque"
        assert headers["Authorization"].startswith("Basic ")
        refused = await user.run("inspect", "unknown", *options)
        assert refused.code == 1
        assert "token_inactive" in refused.out


async def test_a_jwt_is_introspected_too_when_that_is_asked_for(user: User) -> None:
    async with FakeIssuer() as issuer:
        token = mint(iss=issuer.issuer)
        options = client(issuer.issuer, name="api", secret="S")
        assert (await user.run("inspect", token, *options)).code == 0
        assert not issuer.introspected
        revoked = await user.run("inspect", token, *options, "--introspect")
        assert revoked.code == 1
        assert "token_inactive" in revoked.out


async def test_an_issuer_that_is_down_is_no_verdict(user: User) -> None:
    told = await user.run(
        "inspect", mint(iss=f"http://127.0.0.1:{(port := free_port())}"), "--issuer", f"http://127.0.0.1:{port}"
    )
    assert told.code == 3
    assert "issuer_unavailable" in told.out


async def test_a_stored_token_need_not_be_named(user: User) -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer(access_token="opaque-1"), token_answer(access_token="opaque-2")]
        server.answers["/jwks"] = [Scripted({"keys": []})]
        who = client(server.issuer, secret="S")
        await user.run("get", *who, "--scope", "a")
        await user.run("get", *who, "--scope", "b")
        for scope, found in (([], "opaque-2"), (["--scope", "a"], "opaque-1")):
            told = await user.run("inspect", *who, *scope, "--offline", "--json")
            assert json.loads(told.out)["kind"] == "opaque"
            assert found not in told.out
