"""A host has one form or is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.http.host import parse_host


@pytest.mark.parametrize(
    ("value", "name", "port"),
    [
        ("api.example.com", "api.example.com", None),
        ("API.Example.COM", "api.example.com", None),
        ("api.example.com.", "api.example.com", None),
        ("api.example.com.:8443", "api.example.com", 8443),
        ("api.example.com:", "api.example.com", None),
        ("api.example.com:00080", "api.example.com", 80),
        ("localhost:65535", "localhost", 65535),
        ("my_service", "my_service", None),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("192.0.2.1:80", "192.0.2.1", 80),
        ("[::1]", "[::1]", None),
        ("[2001:DB8:0:0::1]:8443", "[2001:db8::1]", 8443),
    ],
)
def test_a_host_is_read_without_case_trailing_dot_and_port(value: str, name: str, port: int | None) -> None:
    host = parse_host(value)
    assert (host.name, host.port) == (name, port)
    assert host.authority == (name if port is None else f"{name}:{port}")


WORDS = (
    "- . .. a..b .a -a a- a-. :80 a:0 a:65536 a:123456 a:8x a:+1 a:80:80 a,b user@a user:pw@a a/b a?b a#b "
    "a%2eb a\\b http://a *.a a* [] [::1 ::1 [::1]x [v1.x] [fe80::1%25eth0] [::1.2] [1.2.3.4] [:::]"
)
MALFORMED = [
    *WORDS.split(),
    *["", " ", "a, b", "a: 80", "a b", " a", "a ", "a\t", "a\r\n", "a\n", "a\x00", "\x7f", "é.example", "a:\u0661"],
    f"{'a.' * 127}aa",
]


@pytest.mark.parametrize("value", MALFORMED)
def test_what_is_no_host_is_refused(value: str) -> None:
    with pytest.raises(GatewayError) as refusal:
        parse_host(value)
    assert (refusal.value.reason.name, refusal.value.reason.status) == ("host_invalid", 400)
    assert refusal.value.reason.closes


@given(st.text(st.characters(max_codepoint=255), max_size=30) | st.text("aB1._-:[]@/, \x00", max_size=20))
@example("[::1]:")
@example("a.:1")
def test_any_text_is_a_host_in_one_form_or_refused(value: str) -> None:
    try:
        host = parse_host(value)
    except GatewayError:
        return
    again = parse_host(host.authority)
    assert (again.name, again.port) == (host.name, host.port)
    assert host.name == host.name.lower()
    assert not set(host.authority) & set(" ,@/?#\\%\r\n\t\x00")
