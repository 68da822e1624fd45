"""The clients file: what it may say, what it leaves to be filled in, and each mistake at its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.cli.clients_file import Known, load
from gateway.config import ConfigError, ConfigUnreadable
from gateway.devauth import defaults
from gateway.devauth.clients import DEVICE_CODE, Lifetimes

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "devauth.md"


def loaded(folder: Path, text: str, **environ: str) -> Known:
    file = folder / "clients.yaml"
    file.write_text(text)
    return load(file, environ)


def mistakes(folder: Path, text: str) -> list[str]:
    """Every problem, as `line: path: message`."""
    with pytest.raises(ConfigError) as found:
        loaded(folder, text)
    return [f"{problem.location.line}: {problem.path}: {problem.message}" for problem in found.value.problems]


def test_a_client_says_all_of_itself(tmp_path: Path) -> None:
    (client,) = loaded(
        tmp_path,
        """
clients:
  - client_id: web
    client_secret: ${SECRET}
    client_name: Web shop
    audience: shop-api
    redirect_uris: [https://shop.example.com/callback, loopback]
    post_logout_redirect_uris: [https://shop.example.com/]
    grant_types: [authorization_code, device_code, refresh_token, client_credentials]
    scopes: [openid, shop:read]
    access_token: opaque
    lifetimes: {access: 5m, refresh: 1h30m, code: 10, device: 90s}
    claims: {tenant: t1}
""",
        SECRET="s3cret",
    ).clients
    assert (client.client_id, client.client_secret, client.name) == ("web", "s3cret", "Web shop")
    assert (client.audience, client.scopes) == ("shop-api", {"openid", "shop:read"})
    assert client.grant_types == {"authorization_code", DEVICE_CODE, "refresh_token", "client_credentials"}
    assert client.redirect_uris == ("https://shop.example.com/callback", "loopback")
    assert client.post_logout_redirect_uris == ("https://shop.example.com/",)
    assert (client.access_token, client.claims) == ("opaque", {"tenant": "t1"})
    assert client.lifetimes == Lifetimes(access=300, refresh=5400, code=10, device=90)


@pytest.mark.parametrize(
    ("text", "grants"),
    [
        ("{client_id: a, scopes: [b], redirect_uris: [loopback]}", {"authorization_code", "refresh_token"}),
        ("{client_id: a, scopes: [b], client_secret: c}", {"client_credentials"}),
        ('{client_id: a, scopes: [b], grant_types: ["urn:ietf:params:oauth:grant-type:device_code"]}', {DEVICE_CODE}),
    ],
)
def test_what_a_client_may_do_follows_from_what_it_has(tmp_path: Path, text: str, grants: set[str]) -> None:
    (client,) = loaded(tmp_path, f"clients: [{text}]").clients
    assert client.grant_types == grants
    assert (client.audience, client.lifetimes, client.access_token) == ("orders-api", Lifetimes(), "jwt")


def test_what_the_file_does_not_speak_of_is_as_without_it(tmp_path: Path) -> None:
    known = loaded(tmp_path, "users: [{name: carol, password: pw, claims: {tenant: t1}}]")
    assert known.clients == defaults.CLIENTS
    assert [(user.name, user.password, user.claims) for user in known.users] == [("carol", "pw", {"tenant": "t1"})]
    known = loaded(tmp_path, "audience: shop-api")
    assert {(client.client_id, client.audience) for client in known.clients} >= {("demo-web", "shop-api")}
    known = loaded(tmp_path, "clients: []\nscopes: {a: Do a}")
    assert (known.clients, known.users) == ((), defaults.USERS)
    assert (known.scopes["a"], known.scopes["openid"]) == ("Do a", defaults.SCOPES["openid"])
    assert Known().scopes == defaults.SCOPES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("clients: [{client_id: a}]", "1: clients[0].scopes: is missing"),
        ("clients: [{scopes: [a]}]", "1: clients[0].client_id: is missing"),
        ("clients: {}", "1: clients: must be a list, not a block"),
        ("users: [{name: a}]", "1: users[0].password: is missing"),
        ("users: [{name: a, password: 5}]", "1: users[0].password: must be a text, not a number (put it in quotes)"),
        ("users:\n- {name: a, password: b}\n- {name: a, password: c}", "3: users[1].name: another user has this name"),
        ("audience: ''", "1: audience: must not be empty"),
    ],
)
def test_what_is_missing_or_of_another_kind_is_named(tmp_path: Path, text: str, found: str) -> None:
    assert found in mistakes(tmp_path, text)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("client_secrets: x", "there is no such key; did you mean client_secret?"),
        ("redirect_uris: [http://shop.example.com/]", "must be https"),
        ("redirect_uris: ['https://shop.example.com/#x']", "must not have a fragment"),
        ("grant_types: [password]", "the password grant is gone"),
        ("grant_types: [code]", "is no grant"),
        ("grant_types: [authorization_code]", "authorization_code needs redirect_uris"),
        ("grant_types: [client_credentials]", "client_credentials need a client_secret"),
        ("access_token: JWT", "must be one of jwt or opaque"),
        ("lifetimes: {access: 0}", "whole seconds"),
        ("lifetimes: {access: 500ms}", "whole seconds"),
        ("lifetimes: {access: soon}", "must be a duration"),
        ("lifetimes: {access: true}", "must be a duration"),
        ("lifetimes: {token: 5}", "there is no such key"),
        ("claims: {iss: x, exp: 5}", "may not hold exp, iss"),
        ("claims: [a]", "must be a block"),
        ("client_secret: ''", "must not be empty"),
        ("audience: [a]", "must be a text"),
    ],
)
def test_each_mistake_of_a_client_is_told_in_a_sentence(tmp_path: Path, member: str, said: str) -> None:
    found = mistakes(tmp_path, f"clients:\n  - client_id: a\n    scopes: [b]\n    {member}\n")
    assert len(found) == 1
    assert found[0].startswith("4: clients[0]") or found[0].startswith("2: clients[0].grant_types")
    assert said in found[0]


def test_two_clients_of_one_id_are_a_mistake(tmp_path: Path) -> None:
    text = "clients:\n- {client_id: a, client_secret: b, scopes: []}\n- {client_id: a, client_secret: c, scopes: []}"
    assert mistakes(tmp_path, text) == ["3: clients[1].client_id: another client has this id"]


@pytest.mark.parametrize("scope", ["a b", "", "ä", 'a"'])
def test_a_scope_is_one_word(tmp_path: Path, scope: str) -> None:
    (found,) = mistakes(tmp_path, f"clients: [{{client_id: a, client_secret: b, scopes: ['{scope}']}}]")
    assert found.startswith("1: clients[0].scopes[0]: must")


def test_a_secret_that_is_not_set_is_named_and_no_value_is(tmp_path: Path) -> None:
    text = "clients: [{client_id: a, client_secret: '${NO_SUCH}', scopes: [a]}]\n"
    text += "users: [{name: x, password: hunter2, z: 1}]"
    (found,) = mistakes(tmp_path, text)
    assert "the environment variable NO_SUCH is not set" in found
    assert "hunter2" not in str(mistakes(tmp_path, text.replace("${NO_SUCH}", "b")))


def test_a_file_that_is_not_there_or_no_yaml_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnreadable, match="there is no such file"):
        load(tmp_path / "absent.yaml")
    assert "not YAML" in mistakes(tmp_path, "clients: [")[0]
    assert "must hold keys and values" in mistakes(tmp_path, "- a")[0]


def test_the_files_of_the_document_load(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yml\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        assert loaded(tmp_path, block, SHOP_SECRET="s") is not None
