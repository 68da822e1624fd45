"""Sessions of browsers."""

from __future__ import annotations

from gateway.devauth.clients import Client
from gateway.devauth.sessions import LIFETIME, Sessions
from gateway.devauth.users import User
from tests.devauth.visitor import Clock

CLIENT = Client("web", None, frozenset({"read"}), "api")


def test_a_session_is_found_by_its_cookie_until_it_is_over_or_ended(clock: Clock) -> None:
    sessions = Sessions(clock)
    first, second = sessions.begin(User("alice", "pw")), sessions.begin()
    assert sessions.find(first.id) is first
    assert (first.auth_time, second.user) == (1_800_000_000, None)
    assert sessions.find(None) is sessions.find("") is sessions.find("x") is None
    sessions.end(first)
    assert sessions.find(first.id) is None
    clock.now += LIFETIME
    assert sessions.find(second.id) is None


def test_a_csrf_token_is_good_in_its_own_session_alone(clock: Clock) -> None:
    sessions = Sessions(clock)
    first, second = sessions.begin(), sessions.begin()
    assert first.accepts(first.csrf_token)
    for other in (second.csrf_token, "", "é", "\ud800", first.csrf_token[:-1], first.id):
        assert not first.accepts(other)


def test_consent_is_remembered_by_client_address_and_scope(clock: Clock) -> None:
    session = Sessions(clock).begin()
    session.remember_consent(CLIENT, "http://127.0.0.1:1/", "a b")
    session.remember_consent(CLIENT, "http://127.0.0.1:1/", "c")
    assert session.has_consented(CLIENT, "http://127.0.0.1:1/", "a c")
    assert not session.has_consented(CLIENT, "http://127.0.0.1:1/", "a d")
    assert not session.has_consented(CLIENT, "http://127.0.0.1:2/", "a")
    assert not session.has_consented(Client("x", None, frozenset(), "api"), "http://127.0.0.1:1/", "a")


def test_a_failure_is_told_once(clock: Clock) -> None:
    session = Sessions(clock).begin()
    session.failure, session.tried_name = "wrong", "alice"
    assert session.take_failure() == ("wrong", "alice")
    assert session.take_failure() == ("", "")


def test_nothing_that_is_shown_of_it_opens_it(clock: Clock) -> None:
    session = Sessions(clock).begin()
    assert session.id not in repr(session)
    assert session.csrf_token not in repr(session)
