"""Sealed entries: they open for whoever has a secret, under their name, in their time, and in no other case."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.sealing import Sealer

NOW = 1_800_000_000.0
NAME = "introspection:aa"
OLD, NEW = b"o" * 32, b"n" * 48


def counting() -> Sealer:
    """A sealer whose nonces are 0, 1, 2, and so on."""
    numbers = itertools.count()
    return Sealer([NEW], random=lambda size: next(numbers).to_bytes(size, "big"))


@given(st.binary(max_size=2000), st.text(st.characters(codec="utf-8"), max_size=80))
def test_what_was_sealed_opens_again(value: bytes, name: str) -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(name, value, NOW + 1)
    assert sealer.open(name, sealed, NOW) == value
    assert len(sealed) == 1 + 12 + 8 + len(value) + 16


def test_the_value_cannot_be_read_and_is_never_sealed_the_same_way_twice() -> None:
    sealer = Sealer([NEW])
    first, second = (sealer.seal(NAME, b"the value of a token", NOW) for _ in range(2))
    assert first != second
    assert b"value" not in first


def test_a_nonce_has_96_bits_from_the_given_source() -> None:
    sealer = counting()
    assert [sealer.seal(NAME, b"", NOW)[:13] for _ in range(2)] == [b"\x01" + bytes(12), b"\x01" + bytes(11) + b"\x01"]


def test_no_bit_can_be_changed() -> None:
    sealer = Sealer([NEW, OLD])
    sealed = sealer.seal(NAME, b"abc", NOW + 1)
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        assert sealer.open(NAME, bytes(changed), NOW) is None, f"bit {bit}"


def test_nothing_can_be_cut_off_or_added() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(NAME, b"abc", NOW + 1)
    for size in range(len(sealed)):
        assert sealer.open(NAME, sealed[:size], NOW) is None
        assert sealer.open(NAME, sealed[size + 1 :], NOW) is None
    assert sealer.open(NAME, sealed + b"\0", NOW) is None


@pytest.mark.parametrize("name", ["introspection:ab", "introspection:a", "keys:aa", "", "\x01introspection:aa"])
def test_an_entry_that_was_moved_to_another_name_does_not_open(name: str) -> None:
    sealer = Sealer([NEW])
    assert sealer.open(name, sealer.seal(NAME, b"abc", NOW + 1), NOW) is None


@pytest.mark.parametrize("secrets", [[OLD], [NEW[:-1]], [NEW + b"\0"], [OLD, b"x" * 32]])
def test_an_entry_of_another_secret_does_not_open(secrets: list[bytes]) -> None:
    sealed = Sealer([NEW]).seal(NAME, b"abc", NOW + 1)
    assert Sealer(secrets).open(NAME, sealed, NOW) is None


@pytest.mark.parametrize(("writer", "reader"), [([OLD], [NEW, OLD]), ([NEW, OLD], [NEW]), ([NEW, OLD], [OLD, NEW])])
def test_while_secrets_rotate_each_process_opens_what_the_others_seal(
    writer: Sequence[bytes], reader: Sequence[bytes]
) -> None:
    writing, reading = Sealer(writer), Sealer(reader)
    name = writing.name("introspection", b"token")
    assert name in reading.names("introspection", b"token")
    assert reading.open(name, writing.seal(name, b"abc", NOW + 1), NOW) == b"abc"


def test_the_first_secret_alone_seals() -> None:
    sealed = Sealer([NEW, OLD]).seal(NAME, b"abc", NOW + 1)
    assert Sealer([OLD]).open(NAME, sealed, NOW) is None


@pytest.mark.parametrize(
    ("until", "opens"),
    [(NOW + 0.001, True), (math.inf, True), (NOW, False), (NOW - 0.001, False), (-math.inf, False), (math.nan, False)],
)
def test_an_old_entry_that_is_put_back_has_expired(until: float, opens: bool) -> None:
    sealer = Sealer([NEW])
    assert sealer.open(NAME, sealer.seal(NAME, b"abc", until), NOW) == (b"abc" if opens else None)


@pytest.mark.parametrize("filling", [b"\0", b"\x01", b"\xff", b"\x01\x02\x03"])
def test_garbage_of_any_length_is_nothing(filling: bytes) -> None:
    sealer = Sealer([NEW, OLD])
    for size in range(65):
        assert sealer.open(NAME, (filling * 64)[:size], NOW) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_nothing(garbage: bytes) -> None:
    sealer = Sealer([NEW])
    assert sealer.open(NAME, garbage, NOW) is None
    assert sealer.open(NAME, b"\x01" + garbage, NOW) is None


def test_no_two_lists_of_parts_have_the_same_name() -> None:
    lists = [(), (b"",), (b"", b""), (b"abc",), (b"ab", b"c"), (b"a", b"bc"), (b"a", b"b", b"c"), (b"abc", b"")]
    sealer = Sealer([NEW])
    names = [sealer.name(kind, *parts) for kind in ("introspection", "keys") for parts in lists]
    assert len({name.partition(":")[2] for name in names}) == len(names)


def test_a_name_shows_its_kind_and_nothing_of_its_parts() -> None:
    sealer = Sealer([NEW, OLD])
    first, second = sealer.names("introspection", b"token")
    assert (first, first) == (sealer.name("introspection", b"token"), Sealer([NEW]).name("introspection", b"token"))
    for name in (first, second):
        kind, _, digest = name.partition(":")
        assert (kind, len(bytes.fromhex(digest))) == ("introspection", 32)
    assert first != second


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ([], "sealing needs a secret"),
        ([b"short but secret"], "secret 1 has fewer than 32 bytes"),
        ([NEW, b"s" * 31, OLD], "secret 2 has fewer than 32 bytes"),
    ],
)
def test_a_short_secret_is_refused_by_its_position(secrets: list[bytes], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Sealer(secrets)


def test_what_is_shown_of_it_is_the_number_of_secrets() -> None:
    assert repr(Sealer([NEW, OLD])) == "Sealer(2 secrets)"
