"""Scopes are read strictly."""

from __future__ import annotations

import pytest
from authlib.oauth2.rfc6749 import InvalidScopeError

from gateway.devauth.scopes import check, parse


def test_blanks_alone_separate_scopes() -> None:
    assert parse(" a  b a ") == {"a", "b"}
    assert parse("a\tb\u00a0c") == {"a\tb\u00a0c"}
    assert parse(None) == parse("") == parse("  ") == frozenset()


@pytest.mark.parametrize("asked", [None, "", "a", "b a"])
def test_what_is_allowed_passes(asked: str | None) -> None:
    check(asked, {"a", "b"})


@pytest.mark.parametrize("asked", ["c", "a c", "A", "a\tb", "a\n", '"'])
def test_anything_else_is_an_error(asked: str) -> None:
    with pytest.raises(InvalidScopeError):
        check(asked, {"a", "b"})
