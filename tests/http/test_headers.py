"""Header names in one form, nominations, and values that stay within their line."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.headers import HOP_BY_HOP, fold, nominated, percent_encode_value


@pytest.mark.parametrize(
    "spelling", [b"X-Auth-Subject", b"x_auth_subject", b"X.Auth.Subject", b"X_AUTH-SUBJECT", b"x-auth.subject"]
)
def test_every_spelling_that_an_upstream_might_fold_has_one_form(spelling: bytes) -> None:
    assert fold(spelling) == b"x-auth-subject"


@pytest.mark.parametrize("name", [b"X-Auth-Subjects", b"XAuth-Subject", b"X--Auth-Subject", b"X-Auth Subject"])
def test_another_name_stays_another_name(name: bytes) -> None:
    assert fold(name) != b"x-auth-subject"


@given(st.binary(max_size=40))
def test_folding_twice_changes_nothing_and_agrees_with_what_wsgi_does(name: bytes) -> None:
    assert fold(fold(name)) == fold(name)
    as_variable = name.upper().replace(b"-", b"_").replace(b".", b"_")
    assert fold(name).upper().replace(b"-", b"_") == as_variable


def test_the_hop_by_hop_fields_stand_in_their_one_form() -> None:
    assert {fold(name) for name in HOP_BY_HOP} == HOP_BY_HOP


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([], set()),
        ([b""], set()),
        ([b"close"], {b"close"}),
        ([b"Keep-Alive, X-Mine"], {b"keep-alive", b"x-mine"}),
        ([b" X-A ,,\tX-B\t", b"x-c"], {b"x-a", b"x-b", b"x-c"}),
        ([b", ,"], set()),
    ],
)
def test_connection_nominates_by_lower_case_names_from_all_its_lines(values: list[bytes], names: set[bytes]) -> None:
    assert nominated(values) == names


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", b""),
        ("u1", b"u1"),
        ("Ada Lovelace", b"Ada Lovelace"),
        (" ada ", b"%20ada%20"),
        ("   ", b"%20%20%20"),
        ("100%", b"100%25"),
        ("a%20b", b"a%2520b"),
        ("a\r\nX-Admin: 1", b"a%0D%0AX-Admin: 1"),
        ("\tx\x00\x7f", b"%09x%00%7F"),
        ("é", b"%C3%A9"),
        ("😀", b"%F0%9F%98%80"),
        ("\ud800", b"%ED%A0%80"),
        ("\u2028", b"%E2%80%A8"),
        ("~!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}", b"~!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}"),
    ],
)
def test_what_could_leave_its_line_is_percent_encoded(text: str, value: bytes) -> None:
    assert percent_encode_value(text) == value


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_a_legal_value_and_comes_back_whole(text: str) -> None:
    value = percent_encode_value(text)
    assert all(0x20 <= byte <= 0x7E for byte in value)
    assert value.strip(b" ") == value
    assert unquote_to_bytes(value) == text.encode("utf-8", "surrogatepass")
