"""What must hold of a head before anything else is looked at."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError
from gateway.http.framing import HeadLimits, check_head, expects_continue
from gateway.http.message import Field, Fields, Request

LIMITS = HeadLimits(target=20, head=100, fields=4)
HOST: Field = (b"Host", b"a")


def refusal(
    *fields: Field,
    method: str = "GET",
    target: str = "/",
    version: tuple[int, int] = (1, 1),
    limits: HeadLimits = LIMITS,
) -> str | None:
    """The reason why such a head is refused; None when it is not."""
    try:
        check_head(Request(method, target, Fields(fields), version=version), limits)
    except GatewayError as error:
        return error.reason.name
    return None


@pytest.mark.parametrize(
    ("fields", "version", "reason"),
    [
        ([HOST], (1, 1), None),
        ([HOST], (1, 0), None),
        ([], (1, 1), "host_invalid"),
        ([], (1, 0), "host_invalid"),
        ([HOST, HOST], (1, 1), "host_invalid"),
        ([HOST, (b"hOsT", b"b")], (1, 0), "host_invalid"),
        ([HOST], (0, 9), "version_unsupported"),
        ([HOST], (1, 2), "version_unsupported"),
        ([HOST], (2, 0), "version_unsupported"),
        ([HOST, (b"Transfer-Encoding", b"chunked")], (1, 1), None),
        ([HOST, (b"transfer-encoding", b"Chunked")], (1, 1), None),
        ([HOST, (b"Transfer-Encoding", b"chunked")], (1, 0), "request_invalid"),
        ([HOST, (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")], (1, 1), "request_invalid"),
        ([HOST, (b"Transfer-Encoding", b"gzip, chunked")], (1, 1), "not_implemented"),
        ([HOST, (b"Transfer-Encoding", b",chunked")], (1, 1), "not_implemented"),
        ([HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"x")], (1, 1), "not_implemented"),
        ([HOST, (b"Transfer-Encoding", b"")], (1, 1), "not_implemented"),
        ([HOST, (b"Expect", b"100-Continue")], (1, 1), None),
        ([HOST, (b"Expect", b"200-ok")], (1, 1), "expectation_failed"),
        ([HOST, (b"Expect", b"100-continue, x")], (1, 1), "expectation_failed"),
        ([HOST, (b"Expect", b"100-continue"), (b"Expect", b"100-continue")], (1, 1), "expectation_failed"),
        ([HOST, (b"Expect", b"magic")], (1, 0), None),
    ],
)
def test_a_head_can_be_taken_in_one_way_or_is_refused(
    fields: list[Field], version: tuple[int, int], reason: str | None
) -> None:
    assert refusal(*fields, version=version) == reason


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_no_tunnel_and_no_echo(method: str) -> None:
    assert refusal(HOST, method=method) == "not_implemented"


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_each_size_is_allowed_up_to_its_limit(over: int) -> None:
    assert refusal(HOST, target="/" * (20 + over)) == ("target_too_long" if over > 0 else None)
    assert refusal(HOST, *[(b"X", b"y")] * (3 + over)) == ("head_too_large" if over > 0 else None)
    # `/` and the lines `Host: a` and `X: …`, each with its end, are 1 + 9 + 5 bytes and the value.
    assert refusal(HOST, (b"X", b"y" * (85 + over))) == ("head_too_large" if over > 0 else None)


def test_what_was_found_for_some_fields_is_not_taken_for_granted_for_another_line_or_limit() -> None:
    fields = Fields([HOST])
    check_head(Request("GET", "/", fields), LIMITS)
    assert fields.checked_for is LIMITS
    for request in (
        Request("TRACE", "/", fields),
        Request("GET", "/" * 21, fields),
        Request("GET", "/", fields, version=(2, 0)),
    ):
        with pytest.raises(GatewayError):
            check_head(request, LIMITS)
    with pytest.raises(GatewayError):
        check_head(Request("GET", "/", fields), HeadLimits(target=20, head=5, fields=4))


def test_only_an_http_1_1_client_waits_for_100() -> None:
    fields = Fields([HOST, (b"Expect", b"100-Continue")])
    assert expects_continue(fields, (1, 1))
    assert not expects_continue(fields, (1, 0))
    assert not expects_continue(Fields([HOST]), (1, 1))
