"""Redirection URIs: the registered one to the letter, any port on loopback, and nothing that only looks like it."""

from __future__ import annotations

import pytest

from gateway.devauth.redirects import (
    ANY_LOOPBACK,
    fits,
    is_loopback,
    mistake_in,
    place_of,
    scheme_of,
    with_parameters,
)
from tests.devauth.hostile import HOSTILE

REGISTERED = (
    ANY_LOOPBACK,
    "http://127.0.0.1/callback",
    "http://localhost:8000/callback?a=b",
    "https://good.com/callback",
    "https://good.com",
    "com.example.app:/callback",
)


@pytest.mark.parametrize("asked", HOSTILE)
@pytest.mark.parametrize("registered", REGISTERED)
def test_a_hostile_address_fits_nothing(registered: str, asked: str) -> None:
    assert not fits(registered, asked)
    assert not is_loopback(asked)


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:1/",
        "http://127.0.0.1",
        "http://127.0.0.1:65535/a/b?c=d",
        "http://localhost:3000/callback",
        "http://[::1]:8080/callback",
        "http://localhost?x",
        "http://127.0.0.1:9/a%20b",
    ],
)
def test_any_loopback_is_any_port_and_path_of_three_hosts(asked: str) -> None:
    assert fits(ANY_LOOPBACK, asked)
    assert is_loopback(asked)


@pytest.mark.parametrize(
    ("registered", "asked", "expected"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1:1/callback", True),
        ("http://127.0.0.1:80/callback", "http://127.0.0.1:8080/callback", True),
        ("http://[::1]/callback", "http://[::1]:1/callback", True),
        ("http://localhost/callback", "http://localhost:1/callback", True),
        ("http://127.0.0.1/callback", "http://localhost:1/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:1/callback/", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:1/Callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:1/callback?a=b", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:70000/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:0/callback", False),
        ("https://good.com/callback", "https://good.com/callback", True),
        ("https://good.com/callback", "https://good.com:443/callback", False),
        ("https://good.com/callback", "https://good.com:8443/callback", False),
        ("https://good.com/callback", "https://GOOD.com/callback", False),
        ("https://good.com/callback", "http://good.com/callback", False),
        ("https://good.com/callback", "https://good.com/callback/../x", False),
        ("https://good.com/callback", "https://good.com/callback%2e", False),
        ("com.example.app:/callback", "com.example.app:/callback", True),
        ("com.example.app:/callback", "com.example.app:/callback2", False),
    ],
)
def test_only_the_port_of_a_loopback_address_may_differ(registered: str, asked: str, expected: bool) -> None:
    assert fits(registered, asked) is expected


@pytest.mark.parametrize("uri", [*REGISTERED, "https://[2001:db8::1]:8443/x", "https://good.com/a?b=%20&c=/?"])
def test_these_may_be_registered(uri: str) -> None:
    assert mistake_in(uri) is None


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("https://good.com/#fragment", "fragment"),
        ("http://good.com/callback", "must be https"),
        ("http://127.0.0.1.evil.com/", "must be https"),
        ("javascript:alert(1)", "absolute"),
        ("data:text/html,x", "absolute"),
        ("urn:ietf:wg:oauth:2.0:oob", "absolute"),
        ("/callback", "absolute"),
        ("//good.com/callback", "absolute"),
        ("https://user@good.com/", "absolute"),
        ("https://good.com/\\evil", "absolute"),
        ("https://good.com/*", None),
        ("https://*.good.com/", "absolute"),
        ("", "absolute"),
    ],
)
def test_these_may_not_and_a_sentence_says_why(uri: str, said: str | None) -> None:
    mistake = mistake_in(uri)
    assert mistake is None if said is None else mistake is not None and said in mistake


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://good.com", "https://good.com?code=a+b%26"),
        ("https://good.com/x?a=%20b", "https://good.com/x?a=%20b&code=a+b%26"),
        ("com.example.app:/x", "com.example.app:/x?code=a+b%26"),
    ],
)
def test_an_answer_is_added_and_changes_nothing_that_was_there(uri: str, expected: str) -> None:
    assert with_parameters(uri, {"code": "a b&"}) == expected
    assert with_parameters(uri, {"code": "a b&"}, in_fragment=True) == f"{uri}#code=a+b%26"


def test_of_an_address_users_are_told_scheme_and_host() -> None:
    assert place_of("https://good.com:8443/secret?state=x") == "https://good.com:8443"
    assert place_of("com.example.app:/secret") == "com.example.app:"
    assert scheme_of("http://[::1]:1/x") == "http:"
