"""What an authorization request may say, without HTTP."""

from __future__ import annotations

import pytest
from authlib.oauth2 import OAuth2Error

from gateway.devauth.authorization_request import check, words
from gateway.devauth.forms import Parameters

GOOD = {"response_type": "code"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"response_mode": "query"},
        {"prompt": "none"},
        {"prompt": "login consent"},
        {"max_age": "0"},
        {"claims": "{}"},
    ],
)
def test_these_pass(more: dict[str, str]) -> None:
    check(Parameters({**GOOD, **more}, frozenset()))


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"response_type": ""}, "invalid_request"),
        ({"response_type": "CODE"}, "unsupported_response_type"),
        ({"response_type": "code code token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "x"}, "request_not_supported"),
        ({"request_uri": "x"}, "request_uri_not_supported"),
        ({"registration": "x"}, "registration_not_supported"),
        ({"prompt": "none consent"}, "invalid_request"),
        ({"max_age": "1.5"}, "invalid_request"),
        ({"max_age": "1_0"}, "invalid_request"),
        ({"max_age": "9" * 10}, "invalid_request"),
    ],
)
def test_these_have_the_error_of_their_specification(more: dict[str, str], error: str) -> None:
    with pytest.raises(OAuth2Error) as found:
        check(Parameters({**GOOD, **more}, frozenset()))
    assert found.value.error == error


def test_a_parameter_that_comes_twice_is_an_error() -> None:
    with pytest.raises(OAuth2Error, match="twice"):
        check(Parameters(GOOD, frozenset({"nonce"})))


def test_words_are_separated_by_blanks_alone() -> None:
    assert words({"prompt": " login  consent"}, "prompt") == {"login", "consent"}
    assert words({"prompt": "a\tb"}, "prompt") == {"a\tb"}
    assert words({}, "prompt") == frozenset()
