"""What clients say about themselves counts only from a trusted proxy, and what upstreams are told can't be forged."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.http.forwarding import ClientView, Forwarding, traceparent
from gateway.http.message import Fields

PROXY, STRANGER, CLIENT = "10.0.0.1", "192.0.2.66", "203.0.113.9"
NETWORKS = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "fd00::/8", "fe80::/10")]


def fields(*lines: str, host: str = "api.example.com") -> Fields:
    pairs = [line.encode("latin-1").partition(b": ") for line in (f"Host: {host}", *lines)]
    return Fields([(name, value) for name, _, value in pairs])


def view(peer: str, *lines: str, external_url: str | None = None, authority: str | None = None) -> ClientView:
    return Forwarding(NETWORKS, external_url).client(peer, fields(*lines), "http", authority)


def told(seen: ClientView) -> dict[str, str]:
    """The forwarding fields for the upstream; each stands there once."""
    lines = [line.split(": ", 1) for line in seen.lines.decode("ascii").removesuffix("\r\n").split("\r\n")]
    assert len({name for name, _ in lines}) == len(lines)
    return {name: value for name, value in lines}


SPOOFS = [
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Real-IP: 127.0.0.1",
    'Forwarded: for=127.0.0.1;proto=https;host="evil.example"',
]


@pytest.mark.parametrize("peer", [STRANGER, "2001:db8::66", ""])
def test_what_a_stranger_says_of_itself_is_replaced(peer: str) -> None:
    seen = view(peer, *SPOOFS)
    node = f'"[{peer}]"' if ":" in peer else peer or "unknown"
    assert (seen.ip, seen.scheme, seen.host, seen.origin) == (peer, "http", "api.example.com", "http://api.example.com")
    assert told(seen) == {
        "X-Forwarded-For": peer or "unknown",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "api.example.com",
        "Forwarded": f"for={node};proto=http;host=api.example.com",
    }


def test_what_a_trusted_proxy_says_counts_and_is_continued() -> None:
    seen = view(PROXY, f"X-Forwarded-For: {CLIENT}", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example:8443")
    assert (seen.ip, seen.scheme, seen.origin) == (CLIENT, "https", "https://shop.example:8443")
    assert told(seen) == {
        "X-Forwarded-For": f"{CLIENT}, {PROXY}",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.example:8443",
        "Forwarded": f'for={CLIENT};proto=https;host="shop.example:8443", for={PROXY}',
    }


def test_the_host_that_routes_are_chosen_by_is_never_x_forwarded_host() -> None:
    assert view(PROXY, "X-Forwarded-Host: other.example").host == "api.example.com"


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        pytest.param([], PROXY, id="nothing told"),
        pytest.param([f"X-Forwarded-For: 127.0.0.1, {CLIENT}"], CLIENT, id="left of the right-most untrusted hop"),
        pytest.param(["X-Forwarded-For: 127.0.0.1", f"X-Forwarded-For: {CLIENT}"], CLIENT, id="two lines are one list"),
        pytest.param([f"X-Forwarded-For: {CLIENT}, 10.9.9.9"], CLIENT, id="through two proxies"),
        pytest.param(["X-Forwarded-For: 10.1.1.1, 10.9.9.9"], "10.1.1.1", id="all hops trusted"),
        pytest.param([f"X-Forwarded-For: {CLIENT}:4711"], CLIENT, id="with a port"),
        pytest.param(["X-Forwarded-For: 2001:DB8:0::9"], "2001:db8::9", id="IPv6"),
        pytest.param(["X-Forwarded-For: [2001:db8::9]:4711"], "2001:db8::9", id="IPv6 with a port"),
        pytest.param([f"X-Forwarded-For: {CLIENT}, ::ffff:10.9.9.9"], CLIENT, id="an IPv4-mapped proxy is the proxy"),
        pytest.param([f"X-Forwarded-For: ::ffff:{CLIENT}"], CLIENT, id="an IPv4-mapped client is the client"),
        pytest.param([f"X-Forwarded-For: {CLIENT}, ,"], CLIENT, id="empty members"),
        pytest.param(["X-Forwarded-For: unknown"], PROXY, id="unknown"),
        pytest.param([f"X-Forwarded-For: {CLIENT}, _hidden, 10.9.9.9"], "10.9.9.9", id="a hidden hop ends the chain"),
        pytest.param([f"X-Forwarded-For: {CLIENT}, 10.9.9.9:x"], PROXY, id="a broken port"),
        pytest.param(["X-Forwarded-For: 1.2.3"], PROXY, id="no address"),
        pytest.param(["X-Forwarded-For: 010.1.1.1"], PROXY, id="an octal address"),
        pytest.param(["X-Forwarded-For: [2001:db8::9"], PROXY, id="an open bracket"),
        pytest.param(['X-Forwarded-For: fe80::1%";proto=x'], PROXY, id="a zone that would break out of its quotes"),
        pytest.param(["X-Forwarded-For: fe80::1%\xe9"], PROXY, id="a zone that is not ASCII"),
        pytest.param(["X-Forwarded-For: \xb2.2.2.2"], PROXY, id="digits that are none"),
        pytest.param([f"X-Forwarded-For: {', '.join(['10.1.1.1'] * 10_000)}"], "10.1.1.1", id="10,000 members"),
        pytest.param([f"Forwarded: for={CLIENT}"], CLIENT, id="Forwarded"),
        pytest.param(['Forwarded: For="[2001:db8::9]:4711";Proto=https'], "2001:db8::9", id="Forwarded, quoted"),
        pytest.param([f'Forwarded: for="{CLIENT}:_port"'], CLIENT, id="Forwarded, hidden port"),
        pytest.param([f"Forwarded: for=127.0.0.1, for={CLIENT};by=10.0.0.1"], CLIENT, id="Forwarded, two elements"),
        pytest.param([f"Forwarded: for={CLIENT}, by=10.0.0.1"], PROXY, id="Forwarded, an element without for"),
        pytest.param([f'Forwarded: for=", for={CLIENT}'], CLIENT, id="an open quote swallows nothing"),
        pytest.param(["Forwarded: for=_hidden;proto=https"], PROXY, id="Forwarded, hidden"),
        pytest.param([f"X-Forwarded-For: {CLIENT}", "Forwarded: for=127.0.0.1"], CLIENT, id="X-Forwarded-For is first"),
        pytest.param(["X-Real-IP: 127.0.0.1"], PROXY, id="X-Real-IP is never read"),
    ],
)
def test_the_client_is_the_right_most_hop_that_is_not_trusted(lines: list[str], client: str) -> None:
    assert view(PROXY, *lines).ip == client


@pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}", "fd00::1", "fe80::1%eth0"])
def test_a_trusted_proxy_is_known_in_every_form_of_its_address(peer: str) -> None:
    assert view(peer, f"X-Forwarded-For: {CLIENT}").ip == CLIENT


@pytest.mark.parametrize("peer", ["11.0.0.1", "::ffff:11.0.0.1", "::10.0.0.1", "", "/run/x.sock", "10.0.0.1.evil"])
def test_nobody_else_is_trusted(peer: str) -> None:
    assert view(peer, f"X-Forwarded-For: {CLIENT}").ip != CLIENT


def test_a_peer_is_told_in_its_plain_form() -> None:
    assert view(f"::ffff:{STRANGER}").ip == STRANGER
    assert told(view("fe80::9%eth0"))["Forwarded"].startswith('for="[fe80::9]";')


@pytest.mark.parametrize(
    ("lines", "origin"),
    [
        (["X-Forwarded-Proto: HTTPS"], "https://api.example.com"),
        (["X-Forwarded-Proto: http, https"], "https://api.example.com"),
        (["X-Forwarded-Proto: ftp"], "http://api.example.com"),
        (["X-Forwarded-Proto: "], "http://api.example.com"),
        (["X-Forwarded-Host: evil.example, shop.example"], "http://shop.example"),
        (["X-Forwarded-Host: user@shop.example"], "http://api.example.com"),
        ([f'Forwarded: for={CLIENT};proto=https;host="shop.example:8443"'], "https://shop.example:8443"),
        (["Forwarded: for=unknown;proto=https;host=shop.example"], "https://shop.example"),
        ([f"Forwarded: for={CLIENT};proto=https;host=shop.example, for=10.9.9.9;proto=http"], "https://shop.example"),
        ([f"Forwarded: for=1.1.1.1;host=evil.example, for={CLIENT};proto=https"], "https://api.example.com"),
        ([f"Forwarded: for={CLIENT};proto=gopher;host=a/b"], "http://api.example.com"),
        (["X-Forwarded-Proto: http", f"Forwarded: for={CLIENT};proto=https"], "http://api.example.com"),
    ],
)
def test_scheme_and_host_are_those_that_the_client_used(lines: list[str], origin: str) -> None:
    assert view(PROXY, *lines).origin == origin


@pytest.mark.parametrize("peer", [STRANGER, PROXY])
def test_an_external_url_is_what_clients_see_whatever_is_said(peer: str) -> None:
    seen = view(peer, *SPOOFS, external_url="https://api.example.com/")
    assert seen.origin == "https://api.example.com"


@pytest.mark.parametrize("peer", [STRANGER, PROXY])
def test_the_authority_of_an_absolute_target_replaces_host(peer: str) -> None:
    seen = view(peer, authority="Other.Example:81")
    assert (seen.host, seen.authority, seen.origin) == ("other.example", "other.example:81", "http://other.example:81")


@pytest.mark.parametrize("peer", [STRANGER, PROXY])
@pytest.mark.parametrize(
    "hosts", [[], [b""], [b"a", b"a"], [b"a, b"], [b"u@a"]], ids=["none", "empty", "twice", "list", "user"]
)
def test_a_request_without_exactly_one_host_is_refused_also_when_asked_again(peer: str, hosts: list[bytes]) -> None:
    forwarding = Forwarding(NETWORKS)
    received = Fields([(b"Host", host) for host in hosts])
    for authority in (None, None, "good.example"):
        with pytest.raises(GatewayError, match="host_invalid"):
            forwarding.client(peer, received, "http", authority)


def test_what_was_read_once_is_not_taken_for_another_request() -> None:
    forwarding = Forwarding(NETWORKS)
    requests = [
        (peer, scheme, authority, received)
        for peer in (PROXY, STRANGER)
        for scheme in ("http", "https")
        for authority in (None, "a.example", "b.example")
        for received in (
            fields(),
            fields(host="b.example"),
            fields(f"X-Forwarded-For: {CLIENT}"),
            fields(f"X-Forwarded-Host: {CLIENT}"),
            fields(f"X-Forwarded-For: {CLIENT}", f"X-Forwarded-For: {STRANGER}"),
            fields(f"Forwarded: for={CLIENT}"),
            fields("X-Forwarded-Proto: https"),
        )
    ]
    alone = [Forwarding(NETWORKS).client(p, f, s, a) for p, s, a, f in requests]
    for _ in range(2):
        assert [forwarding.client(p, f, s, a) for p, s, a, f in requests] == alone


LEGAL = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
values = st.text(st.characters(max_codepoint=255), max_size=40) | st.text(
    '0123456789abcdef.:[]%",;= forunkw_', max_size=60
)


@given(st.sampled_from([PROXY, STRANGER]), st.lists(values, max_size=3), st.lists(values, max_size=3), values, values)
def test_no_bytes_of_a_client_break_a_line_or_end_in_an_error(
    peer: str, addresses: list[str], elements: list[str], scheme: str, host: str
) -> None:
    lines = [f"X-Forwarded-For: {value}" for value in addresses] + [f"Forwarded: for={value}" for value in elements]
    seen = view(peer, *lines, f"X-Forwarded-Proto: {scheme}", f"X-Forwarded-Host: {host}")
    assert str(ipaddress.ip_address(seen.ip)) == seen.ip
    assert seen.scheme in ("http", "https")
    for value in told(seen).values():
        assert LEGAL.fullmatch(value)
    assert all(ipaddress.ip_address(ip) for ip in told(seen)["X-Forwarded-For"].split(", "))


@pytest.mark.parametrize(
    ("peer", "lines", "accepted"),
    [
        (PROXY, ["X-Request-Id: 0af76519-16cd.43dd_8448"], True),
        (PROXY, ["X-Request-Id: short"], False),
        (PROXY, [f"X-Request-Id: {'a' * 129}"], False),
        (PROXY, ["X-Request-Id: has a blank"], False),
        (PROXY, ['X-Request-Id: "quoted-id"'], False),
        (PROXY, ["X-Request-Id: one-request-id", "X-Request-Id: two-request-ids"], False),
        (STRANGER, ["X-Request-Id: 0af76519-16cd.43dd_8448"], False),
        ("", ["X-Request-Id: 0af76519-16cd.43dd_8448"], False),
    ],
)
def test_a_request_id_is_taken_from_a_trusted_proxy_when_it_is_a_plain_word(
    peer: str, lines: list[str], accepted: bool
) -> None:
    request_id = Forwarding(NETWORKS).request_id(peer, fields(*lines))
    assert (f"X-Request-Id: {request_id}" in lines) is accepted


def test_request_ids_of_our_own_are_distinct_also_between_processes() -> None:
    made = [forwarding.request_id("", fields()) for forwarding in (Forwarding(), Forwarding()) for _ in range(100)]
    assert len(set(made)) == 200
    assert all(re.fullmatch(r"[0-9a-f]{20}", request_id) for request_id in made)


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("values", "trace_id"),
    [
        ([f"00-{TRACE}-{SPAN}-01"], TRACE),
        ([f"01-{TRACE}-{SPAN}-01-later"], TRACE),
        ([f"00-{TRACE}-{SPAN}-01-later"], ""),
        ([f"00-{TRACE}-{SPAN}-01-"], ""),
        ([f"01-{TRACE}-{SPAN}-01x"], ""),
        ([f"ff-{TRACE}-{SPAN}-01"], ""),
        ([f"00-{'0' * 32}-{SPAN}-01"], ""),
        ([f"00-{TRACE}-{'0' * 16}-01"], ""),
        ([f"00-{TRACE.upper()}-{SPAN}-01"], ""),
        ([f"00-{TRACE}-{SPAN}"], ""),
        ([f"00-{TRACE}-{SPAN}-01"] * 2, ""),
        ([""], ""),
        ([], ""),
    ],
)
def test_a_trace_is_continued_when_its_parent_is_well_formed(values: list[str], trace_id: str) -> None:
    parent, found = traceparent(fields(*(f"traceparent: {value}" for value in values)))
    assert found == trace_id
    assert parent == (values[0] if trace_id else "")
