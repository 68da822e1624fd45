"""Errors of an authorization server: what of them is shown to a person."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.oauth.error_response import read_error


def test_code_and_description_are_read() -> None:
    error = read_error({"error": "invalid_scope", "error_description": "no scope x"}, 400)
    assert error is not None
    assert (error.code, error.description, error.status) == ("invalid_scope", "no scope x", 400)


@pytest.mark.parametrize("members", [{}, {"error": ""}, {"error": None}, {"error": 7}, {"error": ["access_denied"]}])
def test_what_names_no_error_is_none(members: dict[str, Any]) -> None:
    assert read_error(members) is None


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2Jcleared",
        "a\r\nSet-Cookie: x=1",
        "\x07\x00\x9b31m",
        '<script>"</script>',
        "\u202egnp.exe",
        "ä" * 10,
        "x" * 100_000,
        "\\",
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    error = read_error({"error": text, "error_description": text})
    assert error is not None
    for shown in (error.code, error.description):
        assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", shown)
        assert len(shown) <= 310


def test_lines_of_a_description_become_one() -> None:
    error = read_error({"error": "x", "error_description": "AADSTS7000215: no.\r\nTrace ID: 1\n"})
    assert error is not None
    assert error.description == "AADSTS7000215: no. Trace ID: 1"


@pytest.mark.parametrize("description", [None, 7, ["x"], {"a": 1}])
def test_a_description_that_is_no_text_is_left_out(description: Any) -> None:
    error = read_error({"error": "server_error", "error_description": description})
    assert error is not None
    assert error.description == ""
