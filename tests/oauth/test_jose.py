"""The strict readers: one text for each value, one reading of each text."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.oauth.jose import Malformed, OutOfRange, b64url_decode, b64url_encode, strict_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**90), 10**90)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "bad", [b"a", b"ab=", b"ab==", b"a b", b"ab\n", b"ab+/", b"Zh", b"Zm9v!", "ä".encode(), b"Zm9vYh"]
)
def test_base64url_has_one_text_for_each_value(bad: bytes) -> None:
    with pytest.raises(Malformed):
        b64url_decode(bad)


@given(st.binary(max_size=40))
def test_base64url_gives_back_what_was_encoded(data: bytes) -> None:
    assert b64url_decode(base64.urlsafe_b64encode(data).rstrip(b"=")) == data
    assert b64url_decode(b64url_encode(data).encode("ascii")) == data


@given(st.text("ABQYZafgw014569-_+/= \n!", max_size=9).map(str.encode) | st.binary(max_size=9))
def test_what_is_decoded_has_no_other_text(text: bytes) -> None:
    try:
        value = b64url_decode(text)
    except Malformed:
        return
    assert base64.urlsafe_b64encode(value).rstrip(b"=") == text


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.booleans())
def test_a_plain_object_is_read_as_it_was_written(value: dict[str, Any], ascii_only: bool) -> None:
    assert strict_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=60) | TEXTS.map(str.encode))
def test_any_bytes_are_an_object_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(strict_json(data), dict)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"x"',
        b"{} {}",
        b"{},",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"\\u0062":2}}',
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'{"a":"\n"}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"\xc2\xa0{}",
        b'{"a":' * 100_000,
    ],
)
def test_json_that_could_be_read_in_two_ways_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        strict_json(text)
    assert not isinstance(refused.value, OutOfRange)


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 5000, b"-" + b"9" * 400])
def test_a_number_beyond_all_measure_is_told_apart_from_broken_json(number: bytes) -> None:
    with pytest.raises(OutOfRange):
        strict_json(b'{"a":[' + number + b"]}")


def test_a_surrogate_pair_is_a_character() -> None:
    assert strict_json(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}
