"""The gateway as an intermediary (RFC 9110 §7, RFC 9112): what passes in either direction, what ends here, and what one
message can never do to the next.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import re
from typing import Any

import pytest

from tests.dialogue import Answer, request, statuses, talk
from tests.flow.test_forwarding import pseudonym, sent_fields, sent_requests
from tests.http.origin import OK, Peer, Script, ScriptedOrigin, always_ok, answers, silent, until
from tests.world import bearer, world

OPEN = {"name": "open", "path": "/open/**", "public": True}
OWN = {"name": "own", "path": "/own/**"}
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def reason(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["reason"]


async def passed(response: bytes, *requests: bytes, close: bool = False, **options: Any) -> Answer:
    """What a client gets when the upstream answers so."""
    async with world(OPEN, origin=ScriptedOrigin(answers(response, close=close))) as w:
        return await talk(w.address, *(requests or (request("GET", "/open/x"),)), **options)


# --- what passes, and what ends here (RFC 9110 §7.6.1) -----------------------------------------------------------


async def test_a_nomination_takes_nothing_from_the_upstream_that_the_gateway_decides_on() -> None:
    names = (
        "close, X-Mine, X-Auth-Subject, authorization, content-length, x-forwarded-for, forwarded, host, via, cookie"
    )
    async with world(OWN, {"name": "keep", "path": "/keep", "authorization": "keep"}) as w:
        token = bearer(sub="u1")
        await w.ask("POST", "/own/x", token, f"Connection: {names}", "X-Mine: 1", "Cookie: a=b", body=b"abc")
        fields = sent_fields(w.sent_upstream)
        assert "x-mine" not in fields
        assert fields["x-auth-subject"] == ["u1"]
        assert fields["content-length"] == ["3"]
        assert fields["cookie"] == ["a=b"]
        assert {"x-forwarded-for", "forwarded", "host", "via"} <= fields.keys()
        assert w.sent_upstream.endswith(b"\r\n\r\nabc")
        await w.ask("GET", "/keep", token, "Connection: Authorization")
        assert "authorization" in sent_fields(
            w.origin.received[1] if len(w.origin.received) > 1 else sent_requests(w)[1]
        )


async def test_an_upstreams_hop_by_hop_fields_end_here_and_its_nominations_hold() -> None:
    said = await passed(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Internal\r\nKeep-Alive: timeout=5\r\nX-Internal: 1\r\n"
        b"Proxy-Authenticate: Basic\r\nTrailer: X-T\r\nUpgrade: h2c\r\nTE: trailers\r\nProxy-Connection: x\r\n"
        b"X-External: 2\r\nContent-Length: 2\r\n\r\nok"
    )
    assert said.header("X-External") == "2"
    for name in ("X-Internal", "Keep-Alive", "Proxy-Authenticate", "Trailer", "Upgrade", "TE", "Proxy-Connection"):
        assert said.header(name) is None, name
    assert said.header("Connection") is None
    assert said.body == b"ok"


async def test_bytes_above_ascii_pass_unchanged_in_both_directions() -> None:
    odd = bytes(range(0x80, 0x100))
    answer = b"HTTP/1.1 200 Gr\xfc\xdf dich\r\nX-Odd: " + odd + b"\r\nContent-Length: 0\r\n\r\n"
    async with world(OPEN, origin=ScriptedOrigin(answers(answer))) as w:
        said = await talk(w.address, b"GET /open/x HTTP/1.1\r\nHost: a\r\nX-Odd: " + odd + b"\r\n\r\n")
        assert b"\r\nX-Odd: " + odd + b"\r\n" in w.sent_upstream
        assert b"\r\nX-Odd: " + odd + b"\r\n" in said.raw
        assert said.raw.startswith(b"HTTP/1.1 200 Gr\xfc\xdf dich\r\n")


async def test_repeated_fields_keep_their_order_and_only_cookies_are_joined() -> None:
    fields = b"X-A: 1\r\nSet-Cookie: a=1\r\nX-B: 2\r\nSet-Cookie: b=2\r\nX-A: 3\r\n"
    answer = b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 0\r\n\r\n"
    async with world(OPEN, origin=ScriptedOrigin(answers(answer))) as w:
        sent = ("X-A: 1", "Cookie: a=1; b=2", "X-B: 2", "cookie: c=3", "X-A: 3", "COOKIE: d=4")
        said = await w.ask("GET", "/open/x", *sent)
        told = re.findall(rb"(?i)(?:x-a|x-b|cookie): ([^\r]*)", w.sent_upstream)
        assert told == [b"1", b"a=1; b=2; c=3; d=4", b"2", b"3"]
        assert re.findall(rb"(?:X-A|X-B|Set-Cookie): ([^\r]*)", said.raw) == [b"1", b"a=1", b"2", b"b=2", b"3"]


async def test_what_one_client_was_told_to_keep_as_a_cookie_is_not_sent_for_the_next() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=CANARY; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with world(OPEN, origin=ScriptedOrigin(answers(answer, answer))) as w:
        await w.ask("GET", "/open/x")
        await w.ask("GET", "/open/x")
        assert b"CANARY" not in w.sent_upstream
        assert b"cookie" not in w.sent_upstream.lower()


@pytest.mark.parametrize(
    "head",
    [
        b"302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0",
        b"307 Temporary Redirect\r\nLocation: /open/again\r\nContent-Length: 0",
        b'206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nETag: "x"\r\nContent-Length: 0',
        b'304 Not Modified\r\nETag: "x"\r\nVary: Accept-Encoding',
        b"401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0",
        b"503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0",
        b"299 Odd but legal\r\nWarning: 299 - x\r\nContent-Length: 0",
    ],
)
async def test_an_answer_that_would_mean_something_to_a_client_is_only_passed_on(head: bytes) -> None:
    async with world(OPEN, origin=ScriptedOrigin(answers(b"HTTP/1.1 " + head + b"\r\n\r\n"))) as w:
        conditions = ('If-None-Match: "x"', "Range: bytes=0-1", "Accept-Encoding: br", "If-Match: *")
        said = await w.ask("GET", "/open/x", *conditions)
        lines = [line for line in said.head.split(b"\r\n") if not line.startswith(b"Date: ")]
        assert lines == [b"HTTP/1.1 " + head.split(b"\r\n")[0], *head.split(b"\r\n")[1:]]
        assert len(w.origin.peers) == 1
        sent = sent_fields(w.sent_upstream)
        assert (sent["if-none-match"], sent["range"], sent["accept-encoding"]) == (['"x"'], ["bytes=0-1"], ["br"])
        assert "user-agent" not in sent
        assert "accept" not in sent


async def test_what_claims_to_be_compressed_passes_in_both_directions_as_it_is() -> None:
    garbage = bytes(range(256))
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n" + garbage
    async with world(OPEN, origin=ScriptedOrigin(answers(answer + b"\r\n0\r\n\r\n"))) as w:
        said = await w.ask("POST", "/open/x", "Content-Encoding: gzip", body=garbage)
        assert w.sent_upstream.endswith(b"\r\n\r\n" + garbage)
        assert said.body == garbage


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("/open/?", "/open/?"),
        ("/open/a?", "/open/a?"),
        ("/open/?x=%2F&y=a+b&z=%7e", "/open/?x=%2F&y=a+b&z=%7e"),
        ("/open/a?b?c=//../d", "/open/a?b?c=//../d"),
        ("/open/%7euser", "/open/~user"),
        ("/open/a%20b%C3%A9", "/open/a%20b%C3%A9"),
        ("/open/%c3%a9", "/open/%C3%A9"),
        ("/open/!$&'()*+,=:@-._~", "/open/!$&'()*+,=:@-._~"),
        ("http://api.example.com/open/a?b", "/open/a?b"),
        ("HTTP://API.example.com:80/open", "/open"),
    ],
)
async def test_the_target_goes_upstream_in_its_one_form_and_the_query_as_it_is(sent: str, received: str) -> None:
    route = {"name": "open", "path": "/open/**", "public": True, "host": "api.example.com"}
    async with world(route) as w:
        assert (await w.ask("GET", sent)).status == 200
        assert w.sent_upstream.split(b" ", 2)[1] == received.encode()


async def test_an_absolute_target_leads_nowhere_but_to_the_routes_upstream() -> None:
    async with world({**OPEN, "host": "api.example.com", "host_header": "preserve"}) as w:
        for target in (
            "http://169.254.169.254/open/x",
            "https://evil.example/open/x",
            "http://u@api.example.com/open/x",
        ):
            assert reason(await w.ask("GET", target)) == (400, "host_invalid")
        assert w.origin.peers == []
        said = await talk(w.address, request("GET", "http://api.example.com/open/x", host="evil.example"))
        assert said.status == 200
        assert sent_fields(w.sent_upstream)["host"] == ["api.example.com"]
        assert b"evil" not in w.sent_upstream


# --- Via, Max-Forwards, Early-Data -------------------------------------------------------------------------------


async def test_via_is_continued_with_the_version_the_request_came_in() -> None:
    async with world(OPEN) as w:
        await w.ask(
            "GET", "/open/x", "Via: 1.0 fred, 2 edge.example:8443 (a comment)", "via: 1.1 oauth-gateway-00000000"
        )
        await talk(w.address, b"GET /open/x HTTP/1.0\r\nHost: a\r\n\r\n")
        first, second = (re.findall(rb"(?i)via: ([^\r]*)", sent) for sent in sent_requests(w))
        name = pseudonym(w).encode()
        assert first == [
            b"1.0 fred, 2 edge.example:8443 (a comment)",
            b"1.1 oauth-gateway-00000000",
            b"1.1 " + name,
        ]
        assert second == [b"1.0 " + name]


async def test_a_request_that_comes_back_is_a_loop_and_a_chain_of_gateways_is_none() -> None:
    async with (
        world(OPEN) as service,
        world(OPEN, upstreams={"orders": {"url": f"http://127.0.0.1:{service.address[1]}"}}) as front,
    ):
        assert (await front.ask("GET", "/open/x")).status == 200
        names = re.findall(rb"oauth-gateway-\w+", service.sent_upstream)
        assert len(set(names)) == 2  # the same configuration, and two gateways all the same
        before = len(service.sent_upstream)
        for via in (names[1].decode(), f"x, 1.1 {names[1].decode().upper()} (again), 1.1 y"):
            said = await service.ask("GET", "/open/x", f"Via: 1.1 {via}")
            assert reason(said) == (508, "loop_detected")
        assert len(service.sent_upstream) == before


async def test_a_gateway_that_forwards_to_itself_ends_it() -> None:
    upstreams: dict[str, Any] = {"orders": {"url": "http://127.0.0.1:1"}}
    async with world(OPEN, upstreams=upstreams) as w:
        port = w.address[1]
        async with world(OPEN, upstreams={"orders": {"url": f"http://127.0.0.1:{port}"}}) as other:
            # Round and round: the first one's upstream becomes the second one.
            pool = w.gateway.upstreams["orders"].direct
            pool.origin = type(pool.origin)("127.0.0.1", other.address[1])
            said = await w.ask("GET", "/open/x")
            assert reason(said) == (508, "loop_detected")
            assert len(w.records) == 2
            assert len(other.records) == 1


@pytest.mark.parametrize(
    ("sent", "status", "received"),
    [("0", 204, None), ("1", 200, "0"), ("10", 200, "9"), ("x", 400, None), ("-1", 400, None), ("9" * 30, 400, None)],
)
async def test_max_forwards_counts_down_for_options_and_ends_here(sent: str, status: int, received: str | None) -> None:
    async with world(OPEN) as w:
        said = await w.ask("OPTIONS", "/open/x", f"Max-Forwards: {sent}", "X-Other: 1")
        assert said.status == status
        assert not said.closed
        if received is None:
            assert w.origin.peers == []
        else:
            fields = sent_fields(w.sent_upstream)
            assert (fields["max-forwards"], fields["x-other"]) == ([received], ["1"])


async def test_max_forwards_means_nothing_with_other_methods() -> None:
    async with world(OPEN) as w:
        assert (await w.ask("GET", "/open/x", "Max-Forwards: 0")).status == 200
        assert sent_fields(w.sent_upstream)["max-forwards"] == ["0"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_early_data_that_a_proxy_tells_of_is_too_early_for_what_is_not_safe(method: str) -> None:
    async with world(OPEN, trusted_proxies=["127.0.0.0/8"]) as w:
        for value in ("1", "0", "1, 1"):
            assert reason(await w.ask(method, "/open/x", f"Early-Data: {value}")) == (425, "too_early")
        assert w.origin.peers == []
        assert (await w.ask("GET", "/open/x", "Early-Data: 1")).status == 200
        assert sent_fields(w.sent_upstream)["early-data"] == ["1"]
        assert (await w.ask(method, "/open/x")).status == 200
    async with world(OPEN) as stranger:
        assert (await stranger.ask(method, "/open/x", "Early-Data: 1")).status == 200


# --- interim responses and expectations --------------------------------------------------------------------------


async def test_no_interim_response_reaches_an_http_1_0_client() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + EMPTY
    said = await passed(hints, b"GET /open/x HTTP/1.0\r\nHost: a\r\n\r\n")
    assert statuses(said.raw) == [200]
    assert statuses((await passed(hints)).raw) == [103, 102, 200]


async def test_an_upstreams_100_is_not_passed_on() -> None:
    said = await passed(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + EMPTY)
    assert statuses(said.raw) == [200]


async def test_a_client_is_asked_for_its_body_only_when_the_upstream_is_there_to_take_it() -> None:
    wait = request("POST", "/open/x", "Expect: 100-continue", "Content-Length: 2")
    async with world(OPEN, upstreams={"orders": {"url": "http://127.0.0.1:1"}}) as w:
        assert statuses((await talk(w.address, wait)).raw) == [502]
    async with world({**OPEN, "max_body": 1}) as w:
        assert statuses((await talk(w.address, wait)).raw) == [413]
        assert w.origin.peers == []


async def test_an_interim_response_carries_no_hop_by_hop_field() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nConnection: x-gone\r\nX-Gone: 1\r\nLink: </a>\r\n\r\n" + EMPTY
    said = await passed(hints)
    interim = said.raw.partition(b"\r\n\r\n")[0]
    assert interim == b"HTTP/1.1 103 Early Hints\r\nLink: </a>"


# --- framing of responses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"200 OK\r\nContent-Length: 5", "5"),
        (b"200 OK\r\nTransfer-Encoding: chunked", None),
        (b"200 OK", None),
        (b"404 Not Found\r\nContent-Length: 100", "100"),
        (b"304 Not Modified\r\nContent-Length: 5", "5"),
        (b"204 No Content", None),
    ],
)
async def test_a_head_request_has_no_body_and_what_follows_it_stays_in_step(head: bytes, length: str | None) -> None:
    response = b"HTTP/1.1 " + head + b"\r\n\r\n"
    async with world(OPEN, origin=ScriptedOrigin(answers(response, OK), answers(OK))) as w:
        said = await talk(w.address, request("HEAD", "/open/1") + request("GET", "/open/2"))
        assert statuses(said.raw) == [int(head[:3]), 200]
        assert said.header("Content-Length") == length
        assert said.header("Transfer-Encoding") is None
        assert said.raw.endswith(b"\r\n\r\nok")
        assert w.sent_upstream.startswith(b"HEAD /open/1 ")


async def test_trailers_of_a_response_are_dropped_and_framing_is_the_gateways_own() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n"
    said = await passed(
        answer + b"3;x=y\r\nabc\r\n0\r\nSet-Cookie: evil\r\n\r\n", request("GET", "/open/x", "TE: trailers")
    )
    assert (said.body, said.header("Content-Length"), said.header("Transfer-Encoding")) == (b"abc", "3", None)
    assert b"evil" not in said.raw


async def test_trailers_of_a_request_have_no_effect() -> None:
    async with world(OWN) as w:
        trailers = f"0\r\n{bearer()}\r\nHost: evil\r\nX-Auth-Subject: evil\r\nCookie: evil\r\n\r\n".encode()
        said = await talk(w.address, request("POST", "/own/x", "Transfer-Encoding: chunked"), b"1\r\na\r\n" + trailers)
        assert said.status == 401
        assert w.origin.peers == []
        said = await talk(
            w.address, request("POST", "/own/x", bearer(), "Transfer-Encoding: chunked"), b"1\r\na\r\n" + trailers
        )
        assert said.status == 200
        assert w.sent_upstream.endswith(b"1\r\na\r\n0\r\n\r\n")
        assert b"evil" not in w.sent_upstream


async def test_every_response_has_a_date_and_none_names_our_software() -> None:
    async with world(OPEN, OWN) as w:
        for said in (
            await w.ask("GET", "/open/x"),
            await w.ask("GET", "/own/x"),
            await talk(w.address, b"nonsense\r\n\r\n"),
            await w.ask("GET", "/nowhere"),
        ):
            date = said.header("Date")
            assert date is not None
            assert email.utils.parsedate_to_datetime(date).tzinfo is not None
            assert said.header("Server") is None
            assert b"aiohttp" not in said.raw.lower()
            assert b"python" not in said.raw.lower()
    told = await passed(
        b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    )
    assert (told.header("Server"), told.raw.count(b"Date: ")) == ("nginx", 1)


# --- malformed responses -----------------------------------------------------------------------------------------

MALFORMED = {
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "one bare line feed": b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\r\nok",
    "a folded field": b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok",
    "a blank before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "status 999": b"HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 What\r\nContent-Length: 2\r\n\r\nok",
    "four digits": b"HTTP/1.1 2000 What\r\nContent-Length: 2\r\n\r\nok",
    "an unsolicited 101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/0.9": b"<html>hello</html>",
    "a length and a coding": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding and a length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokx",
    "the same length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nok",
    "a coding before chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a null in a value": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "a return in a value": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
    "a control in the reason": b"HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok",
    "a return in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
    "a nameless field": b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok",
    "too large a head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "too many interim responses": b"HTTP/1.1 102 Processing\r\n\r\n" * 50
    + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("response", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_response_is_a_bad_gateway_whose_connection_is_never_used_again(response: bytes) -> None:
    async with world(OPEN, origin=ScriptedOrigin(answers(response), answers(OK))) as w:
        said = await w.ask("GET", "/open/1")
        final = Answer(said.raw[said.raw.rindex(b"HTTP/1.1 502") :], said.closed)
        assert reason(final) == (502, "upstream_invalid")
        assert str(w.origin.port).encode() not in said.raw
        assert not said.closed
        assert (await w.ask("GET", "/open/2")).body == b"ok"
        assert len(w.origin.peers) == 2
        await asyncio.wait_for(w.origin.peers[0].ended.wait(), 2)


POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
POISONED = {
    "behind a length": ("GET", OK + POISON),
    "behind the last chunk": (
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + POISON,
    ),
    "behind a HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n" + POISON),
    "behind 204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n" + POISON),
    "a body with 204": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil"),
    "a body with 304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil"),
    "an empty line behind": ("GET", OK + b"\r\n" + POISON),
}


@pytest.mark.parametrize(("method", "poisoned"), POISONED.values(), ids=POISONED)
@pytest.mark.parametrize("when", ["at once", "a moment later"])
async def test_what_follows_one_users_response_never_answers_another_user(
    method: str, poisoned: bytes, when: str
) -> None:
    end = (
        poisoned.index(b"\r\n\r\n") + 4 if method == "HEAD" or b" 200 " not in poisoned[:20] else poisoned.index(POISON)
    )

    async def poison(peer: Peer) -> None:
        await peer.request()
        parts = (poisoned,) if when == "at once" else (poisoned[:end], poisoned[end:])
        await peer.send(*parts, pause=0.05)
        await peer.until_closed()

    async with world(OWN, origin=ScriptedOrigin(poison, always_ok)) as w:
        mine = await w.ask(method, "/own/mine", bearer(sub="mine"))
        assert mine.status in (200, 204, 304)
        assert b"evil" not in mine.raw
        await asyncio.sleep(0.1 if when != "at once" else 0)
        yours = await w.ask("GET", "/own/yours", bearer(sub="yours"))
        assert (yours.status, yours.body) == (200, b"ok")
        assert len(w.origin.peers) == 2


# --- truncation (RFC 9112 §8) ------------------------------------------------------------------------------------


async def cut_inside(head: bytes, *, reset: bool) -> Script:
    async def cut(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        await asyncio.sleep(0.05)
        await peer.reset() if reset else peer.cut()

    return cut


@pytest.mark.parametrize("reset", [False, True], ids=["an orderly end", "a reset"])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_body_cut_short_upstream_never_looks_whole_to_the_client(
    head: bytes, reset: bool, version: str
) -> None:
    async with world(OPEN, origin=ScriptedOrigin(await cut_inside(head, reset=reset))) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        writer.write(f"GET /open/x HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        raw, was_reset = b"", False
        try:
            while piece := await asyncio.wait_for(reader.read(65536), 5):
                raw += piece
        except ConnectionResetError:
            was_reset = True
        writer.close()
        assert not raw.endswith(b"0\r\n\r\n")
        assert was_reset or b"Content-Length: 100" in raw or b"chunked" in raw
        await until(lambda: len(w.records) == 1)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_body_that_ends_with_its_connection_is_whole_only_after_an_orderly_end(version: str) -> None:
    head = b"HTTP/1.0 200 OK\r\n\r\nall of it"
    for reset in (False, True):
        async with world(OPEN, origin=ScriptedOrigin(await cut_inside(head, reset=reset))) as w:
            reader, writer = await asyncio.open_connection(*w.address)
            writer.write(f"GET /open/x HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            raw, was_reset = b"", False
            try:
                while piece := await asyncio.wait_for(reader.read(65536), 5):
                    raw += piece
            except ConnectionResetError:
                was_reset = True
            writer.close()
            looks_whole = raw.endswith(b"0\r\n\r\n") if version == "1.1" else not was_reset
            assert looks_whole is not reset


# --- sending again (RFC 9112 §9.3.1, RFC 9110 §9.2.2) ------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [b"", b"0123456789"])
async def test_what_may_do_harm_twice_is_sent_once_though_the_kept_connection_is_dead(method: str, body: bytes) -> None:
    async def dying(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()  # the next one gets no answer

    async with world(OPEN, origin=ScriptedOrigin(dying, always_ok)) as w:
        assert (await w.ask("GET", "/open/1")).status == 200
        said = await w.ask(method, "/open/2", body=body)
        assert said.status == 502
        sent = w.sent_upstream
        assert sent.count(b" /open/2 ") == 1
        assert sent.endswith(body)
        assert (await w.ask("GET", "/open/3")).body == b"ok"


async def test_a_safe_request_is_sent_again_once_and_only_before_any_byte_of_an_answer() -> None:
    async def dying(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    async def dying_late(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.send(b"HTTP/1.1 2")

    for script, status, count in ((dying, 200, 2), (dying_late, 502, 1)):
        async with world(OPEN, origin=ScriptedOrigin(script, always_ok)) as w:
            assert (await w.ask("GET", "/open/1")).status == 200
            assert (await w.ask("GET", "/open/2")).status == status
            assert w.sent_upstream.count(b"GET /open/2 ") == count


async def test_a_request_whose_body_breaks_off_never_looks_whole_upstream() -> None:
    for framing, part in (("Content-Length: 10", b"01234"), ("Transfer-Encoding: chunked", b"5\r\n01234\r\n")):
        async with world(OPEN, origin=ScriptedOrigin(silent)) as w:
            _, writer = await asyncio.open_connection(*w.address)
            writer.write(request("PUT", "/open/x", framing) + part)
            await until(lambda: w.sent_upstream.endswith((b"01234", b"01234\r\n")))
            writer.close()
            await asyncio.wait_for(w.origin.peers[0].ended.wait(), 2)
            assert not w.sent_upstream.endswith(b"0\r\n\r\n")
            await until(lambda: len(w.records) == 1)
            assert w.records[0].status == 499


# --- one connection, many requests (RFC 9112 §9.3.2) -------------------------------------------------------------


async def test_each_pipelined_request_is_decided_by_its_own_fields() -> None:
    async with world({**OWN, "require": {"scopes": ["s"]}}, OPEN) as w:
        good, poor = bearer(scope="s", sub="good"), bearer(scope="t", sub="poor")
        asked = [
            (request("GET", "/own/1", good), 200),
            (request("GET", "/own/2"), 401),
            (request("GET", "/own/3", poor), 403),
            (request("GET", "/open/4"), 200),
            (request("POST", "/own/5", good, body=b"GET /own/6 HTTP/1.1\r\nHost: a\r\n\r\n"), 200),
            (request("POST", "/own/7", body=b"GET /own/8 HTTP/1.1\r\nHost: a\r\n\r\n"), 401),
            (request("GET", "/own/9", good), 200),
        ]
        said = await talk(w.address, b"".join(sent for sent, _ in asked), silence=0.5)
        assert statuses(said.raw) == [status for _, status in asked]
        # Only what the gateway wrote has its upstream's address as Host: bodies are no requests.
        heads = re.findall(rb"(?s)(\w+ /\S+) HTTP/1\.1\r\nHost: 127\.0\.0\.1:(.*?)\r\n\r\n", w.sent_upstream)
        by_target = {line: re.findall(rb"X-Auth-Subject: (\w+)", head) for line, head in heads}
        assert by_target == {
            b"GET /own/1": [b"good"],
            b"GET /open/4": [],
            b"POST /own/5": [b"good"],
            b"GET /own/9": [b"good"],
        }


@pytest.mark.parametrize(
    "opening",
    [
        request("CONNECT", "api.example.com:443", "Content-Length: 40"),
        request("GET", "/own/ws", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 40"),
        request("GET", "/open/x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_a_request_for_another_protocol_opens_no_tunnel_for_what_follows(opening: bytes) -> None:
    inner = b"GET /own/stolen HTTP/1.1\r\nHost: a\r\n\r\n" + b" " * 20
    async with world(OWN, OPEN) as w:
        said = await talk(w.address, opening + inner + request("GET", "/own/admin"), silence=0.5)
        assert statuses(said.raw)[0] in (200, 400, 401, 501, 505)
        assert 101 not in statuses(said.raw)
        assert b"/own/" not in w.sent_upstream
        assert b"upgrade" not in w.sent_upstream.lower()


# --- which fields never decide (peers' advisories) ---------------------------------------------------------------


@pytest.mark.parametrize(
    "spoof",
    [
        "X-Forwarded-Uri: /open/x",
        "X-Forwarded-Path: /open/x",
        "X-Forwarded-Prefix: /open",
        "X-Forwarded-Method: OPTIONS",
        "X-Original-URL: /open/x",
        "X-Rewrite-URL: /open/x",
        "X-HTTP-Method-Override: OPTIONS",
        "X-Envoy-Original-Path: /open/x",
        "X-Forwarded-Host: open.example",
        "X-Forwarded-Proto: https",
        "X-Real-IP: 127.0.0.1",
        "User-Agent: kube-probe/1.29",
        "User-Agent: GoogleHC/1.0",
        "User-Agent:",
        "X-Auth-Subject: admin",
        "X-Forwarded-User: admin",
        "Authorization : Bearer x",
    ],
)
@pytest.mark.parametrize("trusted", [[], ["127.0.0.0/8"]])
async def test_no_field_of_a_client_makes_a_protected_path_a_public_one(spoof: str, trusted: list[str]) -> None:
    async with world(OWN, OPEN, trusted_proxies=trusted) as w:
        for target in ("/own/x", "/own/x?/open/x", "/own/x?x=/open/x.css"):
            assert (await w.ask("GET", target, spoof)).status in (400, 401)
        for target in (
            "/open/../own/x",
            "/open/%2e%2e/own/x",
            "/open#/../own/x",
            "/own/x#/open",
            "//open/x",
            "/own/x%23/open",
        ):
            assert (await w.ask("GET", target, spoof)).status in (400, 401)
        assert w.origin.peers == []


async def test_a_secret_of_the_client_goes_to_the_upstream_of_its_route_and_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    nobody = {"url": "http://127.0.0.1:1"}
    async with ScriptedOrigin(always_ok) as origin:
        upstreams = {"orders": {"url": f"http://127.0.0.1:{origin.port}"}, "nobody": nobody}
        async with world(
            OPEN, {**OPEN, "name": "dead", "path": "/dead", "upstream": "nobody"}, upstreams=upstreams
        ) as w:
            for target, host in (
                ("/dead", "a"),
                ("/nowhere", "a"),
                ("/open/..", "a"),
                ("/open/x", "a b"),
                ("/open/x", "a"),
            ):
                said = await talk(w.address, request("GET", target, "Cookie: sid=CANARY", "X-Key: CANARY", host=host))
                assert b"CANARY" not in said.raw
            assert b"".join(origin.received).count(b"CANARY") == 2
            shown = " ".join(str(getattr(record, name)) for record in w.records for name in dir(record))
            assert "CANARY" not in shown + caplog.text


async def test_line_ends_in_what_clients_send_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with world(OPEN) as w:
        for target in ("/open/%0d%0aX", "/open/\x1b[31m", "/open/%1b"):
            assert (await w.ask("GET", target, "User-Agent: \x1b[2J")).status == 400
        assert "\x1b" not in caplog.text
        assert all("\n" not in record.path and "\x1b" not in record.path for record in w.records)
