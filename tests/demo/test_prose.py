"""Texts: what is code, what is an RFC, and how tokens and bodies are shown."""

from __future__ import annotations

import json

import pytest

from gateway.demo import prose
from gateway.demo.prose import Span


def test_a_text_is_cut_at_code_emphasis_and_references() -> None:
    assert list(prose.spans("The *code* is `a*b` (RFC 6749 §4.1.2), see RFC 7636.")) == [
        Span("text", "The "),
        Span("emphasis", "code"),
        Span("text", " is "),
        Span("code", "a*b"),
        Span("text", " ("),
        Span("reference", "RFC 6749 §4.1.2", "https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2"),
        Span("text", "), see "),
        Span("reference", "RFC 7636", "https://www.rfc-editor.org/rfc/rfc7636"),
        Span("text", "."),
    ]


def test_a_section_of_one_digit_is_a_section_too() -> None:
    assert next(iter(prose.spans("RFC 6750 §3"))).address.endswith("#section-3")


def test_paragraphs_are_parted_by_empty_lines_and_have_values_in_their_places() -> None:
    text = """
        One of
        $name.

        Two.
    """
    assert prose.plain(text, {"name": "alice"}) == ["One of alice.", "Two."]
    assert prose.plain("") == []


def test_a_value_that_no_step_has_kept_is_an_error() -> None:
    with pytest.raises(KeyError):
        prose.plain("$nothing", {})


def test_a_token_is_shown_so_that_nobody_can_use_it() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
    assert prose.shortened(token) == "eyJhbGciOi…F0dXJl"
    assert prose.shortened("short") == "short"


def test_of_two_tokens_that_begin_alike_both_are_short() -> None:
    first, second = "a" * 40, "a" * 40 + "b" * 40
    text = prose.with_short_tokens(f"{second} {first}", {first: "one", second: "two"})
    assert text == f"{prose.shortened(second)} {prose.shortened(first)}"


def test_json_is_laid_out_with_short_things_on_one_line() -> None:
    body = {"orders": [{"id": 1, "item": "anvil"}], "caller": {"a": "x" * 40, "b": "y" * 40}, "many": ["z" * 30] * 3}
    shown = prose.laid_out(json.dumps(body))
    assert json.loads(shown) == body
    assert '  "orders": [{"id": 1, "item": "anvil"}],\n' in shown
    assert max(map(len, shown.splitlines())) < 80
    assert '  "many": [\n    "zzz' in shown
    words = {"scopes": [f"scope-{n}" for n in range(20)]}
    shown = prose.laid_out(json.dumps(words))
    assert json.loads(shown) == words
    assert len(shown.splitlines()) == 9
    assert prose.laid_out('{"error": "slow_down"}') == '{"error": "slow_down"}'


@pytest.mark.parametrize("body", ["", "hammer", "a=b&c=d", "{"])
def test_another_body_stays_as_it_is(body: str) -> None:
    assert prose.laid_out(body) == body


def test_a_time_is_shown_as_a_clock_shows_it_and_anything_else_as_it_is() -> None:
    assert prose.claim_in_words("exp", 1_800_000_000).startswith("1800000000 (")
    assert prose.claim_in_words("sub", "alice") == "alice"
    assert prose.claim_in_words("aud", ["a", "b"]) == '["a", "b"]'
    assert prose.claim_in_words("expires_in", 3600) == "3600"
