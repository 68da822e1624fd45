"""Where a token may stand in a request, and where it may not (RFC 6750 §2)."""

from __future__ import annotations

import pytest

from gateway import errors
from gateway.access.credentials import find_credential
from gateway.errors import GatewayError
from gateway.http.message import Fields
from gateway.oauth.tokens import Credential


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"BeArEr"])
def test_the_scheme_is_read_in_any_case(scheme: bytes) -> None:
    assert find_credential(Fields([(b"aUTHORIZATION", scheme + b" a.b-c_~+/==")])) == Credential(
        "bearer", b"a.b-c_~+/=="
    )


def test_several_blanks_before_the_token_are_one_separator() -> None:
    assert find_credential(Fields([(b"Authorization", b"Bearer   abc")])) == Credential("bearer", b"abc")


def test_a_dpop_token_is_told_from_a_bearer_token() -> None:
    assert find_credential(Fields([(b"Authorization", b"DPoP abc")])) == Credential("dpop", b"abc")


@pytest.mark.parametrize("value", [None, b"Basic YTpi", b"Negotiate abc", b"Bear er", b"Basic"])
def test_another_scheme_counts_as_no_credential(value: bytes | None) -> None:
    assert find_credential(Fields([] if value is None else [(b"Authorization", value)])) is None


@pytest.mark.parametrize(
    "value",
    [b"", b"Bearer", b"Bearer ", b"Bearer\tabc", b"Bearer:abc", b"Bearer=abc", b"Bearer a,b", b"Bearer a b", b"DPoP"]
    + [b"Bearer a" + bad + b"b" for bad in (b"%", b'"', b"\x00", b"\x80", b"\xa0", "é".encode(), b"=", b"\r", b"{")],
)
def test_a_value_that_is_not_one_b64token_is_a_malformed_request(value: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        find_credential(Fields([(b"Authorization", value)]))
    assert refused.value.reason is errors.REQUEST_INVALID


@pytest.mark.parametrize("second", [b"Bearer abc", b"Bearer other", b"Basic YTpi", b""])
def test_two_authorization_fields_are_refused_whatever_they_hold(second: bytes) -> None:
    fields = [(b"Authorization", b"Bearer abc"), (b"authorization", second)]
    for order in (fields, fields[::-1]):
        with pytest.raises(GatewayError) as refused:
            find_credential(Fields(order))
        assert refused.value.reason is errors.CREDENTIALS_MULTIPLE


def test_a_credential_never_shows_its_token() -> None:
    assert "secret" not in repr(Credential("bearer", b"secret"))
