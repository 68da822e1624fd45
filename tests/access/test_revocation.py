"""The deny list: which tokens an entry hits, for how long, and how two lists become one."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest

from gateway.access.revocation import DEFAULT_LIFETIME, DenyList, Revocation, Revoker
from gateway.errors import GatewayError
from gateway.oauth.tokens import Token

NOW = 1_700_000_000.0
CLAIMS = {"jti": "t1", "sub": "u1", "sid": "s1", "iat": NOW - 60}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def token(issuer: str = "corp", client_id: str | None = "app", **claims: Any) -> Token:
    held = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return Token(issuer, held, frozenset(), NOW + 300, "", held.get("sub"), client_id)


def entry(subject: str = "sub", value: str = "u1", **changes: Any) -> Revocation:
    return replace(Revocation("r1", "corp", subject, value, NOW, NOW + 3600), **changes)


def is_revoked(deny_list: DenyList, one: Token) -> bool:
    with contextlib.suppress(GatewayError):
        deny_list.check(one, -1)
        return False
    return True


def listed(*entries: Revocation, clock: Clock | None = None) -> DenyList:
    deny_list = DenyList(clock=clock or Clock())
    for one in entries:
        assert deny_list.take(one)
    return deny_list


@pytest.mark.parametrize(
    ("subject", "value", "other"),
    [
        ("jti", "t1", token(jti="t2")),
        ("sub", "u1", token(sub="u2")),
        ("sid", "s1", token(sid="s2")),
        ("client_id", "app", token(client_id="other")),
        ("client_id", "app", token(client_id=None)),
        ("jti", "t1", token(jti=None)),
        ("jti", "t1", token(jti=["t1"])),
        ("sub", "u1", token(issuer="partner")),
    ],
)
def test_an_entry_hits_the_tokens_it_names_and_no_others(subject: str, value: str, other: Token) -> None:
    deny_list = listed(entry(subject, value))
    assert is_revoked(deny_list, token())
    assert not is_revoked(deny_list, other)


@pytest.mark.parametrize(
    ("issued", "revoked"),
    [(NOW - 11, True), (NOW - 10, False), (NOW, False), (None, True), ("yesterday", True), (True, True)],
)
@pytest.mark.parametrize("subject", ["sub", ""])
def test_issued_before_hits_older_tokens_and_those_that_do_not_say(subject: str, issued: Any, revoked: bool) -> None:
    deny_list = listed(entry(subject, "u1" if subject else "", issued_before=NOW - 10))
    assert is_revoked(deny_list, token(iat=issued)) is revoked
    assert not is_revoked(deny_list, token("partner", iat=issued))


def test_an_entry_for_tokens_without_a_session_spares_the_other_sessions() -> None:
    deny_list = listed(entry(only_sessionless=True))
    assert is_revoked(deny_list, token(sid=None))
    assert not is_revoked(deny_list, token(sid="s2"))


def test_an_entry_ends_when_it_says() -> None:
    clock = Clock()
    deny_list = listed(entry(expires_at=NOW + 10), clock=clock)
    clock.now += 9.9
    assert is_revoked(deny_list, token())
    clock.now += 0.1
    assert not is_revoked(deny_list, token())
    assert deny_list.listing() == []
    clock.now += 60
    deny_list.take(entry(id="r2", expires_at=clock.now + 1))
    assert [one.id for one in deny_list] == ["r2"]


def test_a_token_that_passed_is_looked_at_again_only_when_the_list_has_changed() -> None:
    deny_list = listed(entry("jti", "another"))
    passed_at = deny_list.check(token(), -1)
    assert deny_list.check(token(), passed_at) == passed_at
    deny_list.take(entry(id="r2"))
    with pytest.raises(GatewayError, match="token_revoked"):
        deny_list.check(token(), passed_at)


def test_a_withdrawal_holds_in_whatever_order_it_comes() -> None:
    live, withdrawn = entry(), entry(is_withdrawn=True)
    for first, second in ((live, withdrawn), (withdrawn, live)):
        deny_list = DenyList(clock=Clock())
        deny_list.take(first)
        deny_list.take(second)
        assert not is_revoked(deny_list, token())
        assert deny_list.listing() == []
        assert not deny_list.take(live)


def test_a_list_that_may_lack_entries_and_must_not_says_so_with_503() -> None:
    deny_list = DenyList()
    deny_list.is_current = lambda: False
    with pytest.raises(GatewayError) as refused:
        deny_list.check(token(), deny_list.generation)
    assert (refused.value.reason.name, refused.value.retry_after) == ("issuer_unavailable", 1)


@pytest.mark.parametrize(
    "one",
    [
        entry(),
        entry("", "", issued_before=NOW),
        entry("jti", "t1", is_withdrawn=True),
        entry("sid", "s1", only_sessionless=True, issued_before=0.0),
    ],
)
def test_an_entry_survives_being_written_and_read(one: Revocation) -> None:
    assert Revocation.from_json(one.as_json()) == one


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"issuer": 1},
        {"sub": ["u1"]},
        {"expires_at": "soon"},
        {"created_at": True},
        {"issued_before": "x"},
        {"expires_at": None},
    ],
)
def test_what_is_no_entry_is_not_taken_for_one(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a revocation"):
        Revocation.from_json({**entry().as_json(), **change})


async def test_an_entry_lasts_as_long_as_the_tokens_it_concerns_could() -> None:
    revoker = Revoker(DenyList(clock=Clock()), {"corp": 600.0, "partner": 0.0}, clock=Clock())
    assert (await revoker.revoke("corp", "sub", "u1")).expires_at == NOW + 600
    assert (await revoker.revoke("corp", "", "", issued_before=NOW + 50)).expires_at == NOW + 650
    assert (await revoker.revoke("corp", "", "", issued_before=NOW - 50)).expires_at == NOW + 600
    assert (await revoker.revoke("partner", "sub", "u1")).expires_at == NOW + DEFAULT_LIFETIME
    assert (await revoker.revoke("corp", "sub", "u1", expires_at=NOW + 5)).expires_at == NOW + 5
    assert revoker.is_delivered(next(iter(revoker.deny_list)))


async def test_a_revocation_can_be_withdrawn_once() -> None:
    deny_list = DenyList(clock=Clock())
    revoker = Revoker(deny_list, {"corp": 600.0}, clock=Clock())
    made = await revoker.revoke("corp", "sub", "u1")
    assert is_revoked(deny_list, token())
    assert await revoker.withdraw(made.id)
    assert not is_revoked(deny_list, token())
    assert not await revoker.withdraw(made.id)
    assert not await revoker.withdraw("unknown")


def test_who_wants_to_know_hears_of_each_entry_once_wherever_it_came_from() -> None:
    clock = Clock()
    deny_list = DenyList(clock=clock)
    heard: list[Revocation] = []
    deny_list.on_news.append(heard.append)
    withdrawn = entry(is_withdrawn=True)
    for one in (entry(), entry(), withdrawn, entry(), withdrawn, entry(id="r2", expires_at=NOW)):
        deny_list.take(one)
    assert heard == [entry(), withdrawn]
