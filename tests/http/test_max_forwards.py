"""How far an OPTIONS request may go."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError
from gateway.http.max_forwards import forwarded_once, hops_left
from gateway.http.message import Fields, Request


@pytest.mark.parametrize(("value", "left"), [(b"0", 0), (b"1", 1), (b"007", 7), (b"999999999", 999_999_999)])
def test_a_number_is_how_many_hops_are_left(value: bytes, left: int) -> None:
    assert hops_left(Fields([(b"max-Forwards", value)])) == left


@pytest.mark.parametrize("values", [[b""], [b"-1"], [b"+1"], [b"1_0"], [b"1, 2"], [b"1", b"1"], [b"1" * 10], [b"\xb2"]])
def test_anything_else_is_refused(values: list[bytes]) -> None:
    with pytest.raises(GatewayError):
        hops_left(Fields([(b"Max-Forwards", value) for value in values]))


def test_the_next_hop_has_one_less_and_all_else_stays() -> None:
    fields = Fields([(b"Host", b"a"), (b"MAX-forwards", b"3"), (b"X", b"3")])
    request = Request("OPTIONS", "/x", fields, peer="192.0.2.1")
    onward = forwarded_once(request, 3)
    assert onward.fields.raw == ((b"Host", b"a"), (b"MAX-forwards", b"2"), (b"X", b"3"))
    assert (onward.method, onward.target, onward.peer) == ("OPTIONS", "/x", "192.0.2.1")
    assert request.fields is fields
