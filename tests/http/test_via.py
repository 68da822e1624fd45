"""Our own entry in Via."""

from __future__ import annotations

import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.message import Fields
from gateway.http.via import Via

VIA = Via("5f2c91ab")


def seen(*values: bytes) -> Fields:
    return Fields([(b"Via", value) for value in values])


def test_an_entry_has_the_version_and_the_name() -> None:
    assert VIA.line((1, 1)) == b"Via: 1.1 oauth-gateway-5f2c91ab\r\n"
    assert VIA.line((1, 0)) == b"Via: 1.0 oauth-gateway-5f2c91ab\r\n"


@pytest.mark.parametrize(
    "values",
    [
        [b"1.1 oauth-gateway-5f2c91ab"],
        [b"1.0 fred, 1.1 OAuth-Gateway-5F2C91AB (again)"],
        [b"2 edge", b"HTTP/1.1\toauth-gateway-5f2c91ab , 1.1 other"],
        [b"1.1 oauth-gateway-5f2c91ab"] * 50,
    ],
)
def test_our_own_name_anywhere_is_a_loop(values: list[bytes]) -> None:
    with pytest.raises(GatewayError) as refused:
        VIA.check(seen(*values))
    assert refused.value.reason is errors.LOOP_DETECTED


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [b",, ,"],
        [b"1.1"],
        [b"1.1 oauth-gateway"],
        [b"1.1 oauth-gateway-00000000", b"1.1 oauth-gateway-5f2c91abc"],
        [b"oauth-gateway-5f2c91ab"],
        [b"1.1 x (oauth-gateway-5f2c91ab)"],
        [b"\xff \xfe"],
    ],
)
def test_another_name_is_none(values: list[bytes]) -> None:
    VIA.check(seen(*values))
