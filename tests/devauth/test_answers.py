"""Answers as HTTP."""

from __future__ import annotations

import json

import pytest
from authlib.oauth2.rfc6749 import InvalidScopeError

from gateway.devauth import answers


def test_nothing_is_stored() -> None:
    for answer in (
        answers.as_json({}),
        answers.as_page("x"),
        answers.redirect("/x", "GET"),
        answers.as_error("a", "b"),
    ):
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_401_has_a_challenge_with_a_realm_and_another_one_goes_before_it() -> None:
    assert answers.as_json({}, 401).headers["WWW-Authenticate"].startswith('Basic realm="')
    assert answers.as_json({}, 401, {"WWW-Authenticate": "Bearer"}).headers["WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in answers.as_json({}, 400).headers


def test_an_error_has_the_form_of_the_rfc() -> None:
    answer = answers.of(InvalidScopeError("no such scope"))
    assert answer.status == 400
    assert json.loads(answer.text or "") == {"error": "invalid_scope", "error_description": "no such scope"}


@pytest.mark.parametrize(("method", "status"), [("GET", 302), ("POST", 303)])
def test_after_a_form_the_browser_forgets_what_it_has_sent(method: str, status: int) -> None:
    answer = answers.redirect("https://good.com/", method)
    assert (answer.status, answer.headers["Location"]) == (status, "https://good.com/")
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_page_says_where_its_forms_may_lead() -> None:
    assert answers.as_page("x").headers["Content-Security-Policy"].endswith("; form-action 'self'")
    policy = answers.as_page("x", forms_lead_to="com.example.app:").headers["Content-Security-Policy"]
    assert policy.endswith("; form-action 'self' com.example.app:")
