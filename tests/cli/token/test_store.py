"""The files that tokens are kept in."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.token.store import Purpose, StoredToken, StoreProblem, TokenStore, default_folder

USER = Purpose("https://as.example/tenant", "app", "user", frozenset({"a", "b"}))
CLIENT = Purpose("https://as.example/tenant", "app", "client", frozenset({"a", "b"}))
TOKEN = StoredToken("AT", 1000.0, 1300.0, "RT", "a b")


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "state" / "tokens")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_saved_is_loaded_again(store: TokenStore) -> None:
    assert store.load(USER) is None
    store.save(USER, TOKEN)
    assert store.load(USER) == TOKEN
    store.save(USER, replace(TOKEN, access_token="AT-2", expires_at=None, refresh_token=None, scope=None))
    assert store.load(USER) == StoredToken("AT-2", 1000.0)
    store.forget(USER)
    assert store.load(USER) is None
    store.forget(USER)


def test_nobody_else_can_read_folder_and_file_whatever_the_umask(store: TokenStore) -> None:
    before = os.umask(0)
    try:
        store.save(USER, TOKEN)
        store.save(USER, TOKEN)
    finally:
        os.umask(before)
    assert mode(store.path(USER)) == 0o600
    assert mode(store.folder) == mode(store.folder.parent) == 0o700
    assert [path.name for path in store.folder.iterdir()] == [store.path(USER).name]


def test_a_folder_that_others_could_enter_is_closed(store: TokenStore) -> None:
    store.folder.mkdir(parents=True)
    store.folder.chmod(0o755)
    store.save(USER, TOKEN)
    assert mode(store.folder) == 0o700


@pytest.mark.parametrize("bits", [0o644, 0o640, 0o660, 0o602, 0o666])
def test_a_file_that_others_can_read_or_write_is_not_used(store: TokenStore, bits: int) -> None:
    store.save(USER, TOKEN)
    store.path(USER).chmod(bits)
    with pytest.raises(StoreProblem) as refused:
        store.load(USER)
    assert "AT" not in str(refused.value)
    assert store.find(USER.issuer, USER.client_id) == []
    store.save(USER, TOKEN)
    assert store.load(USER) == TOKEN


def test_a_file_or_folder_of_another_user_is_not_used(store: TokenStore) -> None:
    store.save(USER, TOKEN)
    stranger = TokenStore(store.folder, owner=os.geteuid() + 1)
    with pytest.raises(StoreProblem):
        stranger.load(USER)
    for use in (lambda: stranger.save(USER, TOKEN), lambda: stranger.lock_file(USER)):
        with pytest.raises(StoreProblem, match="belongs to another user"):
            use()
    assert store.load(USER) == TOKEN


def document(store: TokenStore) -> Any:
    store.save(USER, TOKEN)
    return json.loads(store.path(USER).read_bytes())


@pytest.mark.parametrize(
    "members",
    [
        {"access_token": None},
        {"access_token": 7},
        {"access_token": ""},
        {"access_token": "a\nb"},
        {"access_token": "a b"},
        {"access_token": "\x1b[2J"},
        {"refresh_token": ["RT"]},
        {"refresh_token": "R\r\nT"},
        {"obtained_at": None},
        {"obtained_at": "now"},
        {"obtained_at": True},
        {"expires_at": "never"},
        {"expires_at": 1e300},
        {"scope": 7},
        {"scope": "a\x1b[31m"},
    ],
)
def test_a_token_with_an_odd_member_is_not_used(store: TokenStore, members: dict[str, Any]) -> None:
    whole = document(store)
    whole["token"].update(members)
    store.path(USER).write_text(json.dumps(whole))
    with pytest.raises(StoreProblem, match="damaged"):
        store.load(USER)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"null", b"[]", b"{}", b'{"token": {}}', b"\xff", b"[" * 100_000, b'{"token": []}', b"x" * 2**21],
)
def test_a_damaged_file_is_not_used_and_can_be_replaced(store: TokenStore, data: bytes) -> None:
    store.save(USER, TOKEN)
    store.path(USER).write_bytes(data)
    with pytest.raises(StoreProblem, match="damaged"):
        store.load(USER)
    assert store.find(USER.issuer, USER.client_id) == []
    store.save(USER, TOKEN)
    assert store.load(USER) == TOKEN


@pytest.mark.parametrize(
    "members",
    [{"issuer": "https://evil.example"}, {"client_id": "other"}, {"holder": "client"}, {"scopes": ["admin"]}],
)
def test_the_file_of_another_token_is_not_taken_for_this_one(store: TokenStore, members: dict[str, Any]) -> None:
    store.path(USER).parent.mkdir(parents=True)
    whole = {**document(store), **members}
    store.path(USER).write_text(json.dumps(whole))
    with pytest.raises(StoreProblem, match="not the file of this token"):
        store.load(USER)
    assert store.find(whole["issuer"], whole["client_id"]) == []


@pytest.mark.parametrize(
    "other",
    [
        CLIENT,
        replace(USER, issuer="https://as.example/tenant/"),
        replace(USER, client_id="other"),
        replace(USER, scopes=frozenset({"a"})),
        replace(USER, resources=("urn:x",)),
        replace(USER, parameters=(("audience", "x"),)),
    ],
)
def test_each_purpose_has_a_file_of_its_own(store: TokenStore, other: Purpose) -> None:
    store.save(USER, TOKEN)
    assert store.load(other) is None
    store.save(other, replace(TOKEN, access_token="other"))
    assert store.load(USER) == TOKEN


def test_the_order_of_what_is_asked_for_makes_no_difference() -> None:
    first = Purpose("https://a", "c", "user", frozenset("ab"), ("urn:x", "urn:y"), (("p", "1"), ("q", "2")))
    second = Purpose("https://a", "c", "user", frozenset("ba"), ("urn:y", "urn:x"), (("q", "2"), ("p", "1")))
    assert first.file_name == second.file_name


@pytest.mark.parametrize(
    ("issuer", "client_id"),
    [
        ("https://as.example/realms/a", "demo-web"),
        ("https://as.example/../../etc", "../../passwd"),
        ("https://ä.example", "client\x00\n" * 200),
        ("https://", "."),
    ],
)
def test_a_file_name_is_readable_and_stays_in_the_folder(tmp_path: Path, issuer: str, client_id: str) -> None:
    name = Purpose(issuer, client_id, "user").file_name
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name) < 120
    store = TokenStore(tmp_path / "tokens")
    store.save(Purpose(issuer, client_id, "user"), TOKEN)
    assert store.path(Purpose(issuer, client_id, "user")).parent == store.folder
    assert "as.example-realms-a-demo-web-user-" in Purpose("https://as.example/realms/a", "demo-web", "user").file_name


def test_tokens_are_found_by_issuer_and_client_the_newest_first(store: TokenStore) -> None:
    assert store.find(USER.issuer, USER.client_id) == []
    other = replace(USER, scopes=frozenset({"c"}))
    store.save(USER, TOKEN)
    store.save(other, replace(TOKEN, obtained_at=2000.0))
    store.save(replace(USER, client_id="stranger"), TOKEN)
    assert [purpose for purpose, _ in store.find(USER.issuer, "app")] == [other, USER]
    assert [purpose for purpose, _ in store.find(USER.issuer, "app", frozenset({"b", "a"}))] == [USER]


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = TokenStore(tmp_path / "file" / "tokens")
    for use in (lambda: store.save(USER, TOKEN), lambda: store.lock_file(USER)):
        with pytest.raises(StoreProblem, match=r"takes no token|can't be used"):
            use()


def test_a_file_that_can_not_be_read_or_deleted_is_told(store: TokenStore) -> None:
    store.path(USER).mkdir(parents=True)
    for use in (store.load, store.forget):
        with pytest.raises(StoreProblem):
            use(USER)
    with pytest.raises(StoreProblem):
        store.save(USER, TOKEN)
    assert not [path for path in store.folder.iterdir() if path.is_file()], "half a file is left"


@pytest.mark.parametrize(
    ("token", "holder", "margin", "good_until"),
    [
        (StoredToken("AT", 1000, 4600), "user", None, 4540),  # a minute
        (StoredToken("AT", 1000, 1040), "user", None, 1030),  # a quarter of its life
        (StoredToken("AT", 1000, 4600), "user", 600.0, 4000),
        (StoredToken("AT", 1000, 4600), "user", 0.0, 4600),
        (StoredToken("AT", 1000, 1000), "client", None, 0),
        (StoredToken("AT", 1000), "client", None, 1300),  # of unknown lifetime: a new one costs nothing
        (StoredToken("AT", 1000, None, "RT"), "user", None, 1300),
        (StoredToken("AT", 1000), "user", None, 10**9),  # a new one costs a sign-in
    ],
)
def test_a_token_is_good_until_shortly_before_its_end(
    token: StoredToken, holder: Any, margin: float | None, good_until: float
) -> None:
    assert token.is_good(max(1000, good_until - 1), holder, margin) is (good_until > 1000)
    assert not token.is_good(good_until, holder, margin) or good_until == 10**9


def test_a_token_from_the_future_is_not_good_since_the_clock_was_set_back() -> None:
    assert TOKEN.is_good(950, "user", None)
    assert not TOKEN.is_good(900, "user", None)


def test_the_folder_is_where_the_xdg_specification_puts_state() -> None:
    assert default_folder({"XDG_STATE_HOME": "/x"}) == Path("/x/oauth-gateway/tokens")
    home = Path.home() / ".local/state/oauth-gateway/tokens"
    assert default_folder({}) == default_folder({"XDG_STATE_HOME": "relative"}) == home


def test_no_token_is_shown_by_repr() -> None:
    for secret in ("AT", "RT"):
        assert secret not in repr(TOKEN)
