"""Codes: random, short-lived, for one client and one use."""

from __future__ import annotations

from gateway.devauth.clients import Client, Lifetimes
from gateway.devauth.codes import Codes
from gateway.devauth.tokens import Authorization
from tests.devauth.visitor import Clock

CLIENT = Client("web", None, frozenset({"read"}), "api", lifetimes=Lifetimes(code=10))
OTHER = Client("other", None, frozenset({"read"}), "api")


def test_a_code_is_found_by_its_own_client_until_its_time_is_over(clock: Clock) -> None:
    codes = Codes(clock)
    value = codes.issue(Authorization(CLIENT, "read"), "http://127.0.0.1/", "challenge", "S256")
    found = codes.redeemable(value, CLIENT)
    assert found is not None
    assert (found.get_redirect_uri(), found.get_scope()) == ("http://127.0.0.1/", "read")
    assert codes.redeemable(value, OTHER) is None
    assert codes.redeemable(value + "x", CLIENT) is None
    clock.now += 10
    assert codes.redeemable(value, CLIENT) is None


def test_a_used_code_ends_its_authorization_even_when_its_time_is_over(clock: Clock) -> None:
    codes, authorization = Codes(clock), Authorization(CLIENT, "read")
    value = codes.issue(authorization, None, None, None)
    found = codes.redeemable(value, CLIENT)
    assert found is not None
    found.is_used = True
    assert codes.redeemable(value, OTHER) is None
    assert not authorization.is_ended
    clock.now += 1000
    assert codes.redeemable(value, CLIENT) is None
    assert authorization.is_ended


def test_no_two_codes_are_the_same_and_none_is_shown(clock: Clock) -> None:
    codes = Codes(clock)
    values = {codes.issue(Authorization(CLIENT, "read"), None, "challenge", "S256") for _ in range(20)}
    assert len(values) == 20
    assert all(len(value) == 43 for value in values)
    assert "challenge'" not in repr(codes.redeemable(values.pop(), CLIENT))
