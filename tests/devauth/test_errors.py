"""Errors that say nothing of what was sent."""

from __future__ import annotations

import pytest

from gateway.devauth.errors import UnsupportedGrantType, UnsupportedResponseType, is_about_the_past


@pytest.mark.parametrize(
    ("grant_type", "is_old"), [("password", True), ("implicit", True), ("x", False), ('"<é>', False)]
)
def test_only_grants_that_once_were_have_a_page(grant_type: str, is_old: bool) -> None:
    error = UnsupportedGrantType(grant_type)
    assert (error.error, is_about_the_past(error)) == ("unsupported_grant_type", is_old)
    assert grant_type not in dict(error.get_body()).values()


@pytest.mark.parametrize(
    ("response_types", "is_old"), [({"token"}, True), ({"code", "id_token"}, True), ({"none"}, False), ({"é"}, False)]
)
def test_who_asked_for_implicit_is_answered_in_the_fragment(response_types: set[str], is_old: bool) -> None:
    error = UnsupportedResponseType(frozenset(response_types))
    assert (error.redirect_fragment, is_about_the_past(error)) == (is_old, is_old)
    assert error.error == "unsupported_response_type"
