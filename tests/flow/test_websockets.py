"""WebSockets through the gateway, over real sockets: who may open one, what the upstream is asked, how it ends."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.dialogue import request, statuses, talk
from tests.http.frames import BINARY, MASK, TEXT, close, frame
from tests.http.origin import OK, Peer, ScriptedOrigin, always_ok, answers, silent
from tests.http.websockets import KEY, PATIENCE, UPGRADE, OriginSide, echo, switch, switched, until, websocket
from tests.issuer import FakeIssuer
from tests.outages.setting import MARGIN
from tests.services import held_port
from tests.world import AUDIENCE, bearer, mint, public_jwks, world

OPEN = {"name": "open", "path": "/open/**", "public": True}
LAST = "Connection: close"
OWN = {"name": "own", "path": "/own/{tenant}/**", "require": {"scopes": ["s"], "claims": {"tenant": "{tenant}"}}}


def echoing() -> ScriptedOrigin:
    return ScriptedOrigin(switched(echo))


def holding() -> ScriptedOrigin:
    """An origin that says nothing, and waits."""
    return ScriptedOrigin(switched(OriginSide.until_closed))


def token(**claims: Any) -> str:
    # The parameters of tests are made when they are collected, and a long run may come to them much later.
    return bearer(**{"scope": "s", "tenant": "t1", "exp": 4_000_000_000, **claims})


def issuer(**changes: Any) -> Mapping[str, Any]:
    """The issuer of the tests, without leeway."""
    block = {"issuer": "https://login.example.com", "audience": AUDIENCE, "jwks": json.loads(public_jwks())}
    return {"corp": {**block, "leeway": "0s", **changes}}


def reason_in(body: bytes) -> str:
    return str(json.loads(body)["reason"])


# --- who may open one --------------------------------------------------------------------------------------------


async def test_an_allowed_client_talks_to_its_upstream() -> None:
    async with (
        world(OWN, origin=echoing()) as w,
        websocket(w.address, "/own/t1/ws", token()) as client,
    ):
        assert (client.status, client.field("Upgrade"), client.field("Connection")) == (101, "websocket", "Upgrade")
        assert client.field("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        await client.say(b"hello")
        assert (await client.frame()).payload == b"hello"


@pytest.mark.parametrize(
    ("target", "headers", "status", "reason"),
    [
        ("/own/t1/ws", (), 401, "token_missing"),
        ("/own/t1/ws", ("Authorization: Bearer nonsense",), 401, "token_malformed"),
        ("/own/t1/ws", (token(exp=1),), 401, "token_expired"),
        ("/own/t1/ws", (token(scope="other"),), 403, "scope_insufficient"),
        ("/own/t2/ws", (token(),), 403, "claim_refused"),
        ("/elsewhere", (token(),), 404, "route_not_found"),
        ("/own/t1/../t2/ws", (token(),), 400, "path_ambiguous"),
        (f"/own/t1/ws?access_token={mint(scope='s', tenant='t1')}", (), 401, "token_missing"),
        ("/own/t1/ws", (f"Sec-WebSocket-Protocol: bearer, {mint(scope='s', tenant='t1')}",), 401, "token_missing"),
    ],
)
async def test_who_is_refused_is_refused_as_any_request_and_the_upstream_hears_nothing(
    target: str, headers: tuple[str, ...], status: int, reason: str
) -> None:
    async with world(OWN, origin=echoing()) as w:
        answer = await w.ask("GET", target, *UPGRADE, *headers)
        assert (answer.status, reason_in(answer.body)) == (status, reason)
        assert (w.origin.peers, w.gateway.in_flight) == ([], 0)


async def test_requests_behind_a_refused_websocket_are_answered_once_each_and_in_order() -> None:
    async with world(OWN, OPEN) as w:
        upgrade = request("GET", "/own/t1/ws", *UPGRADE, "Content-Length: 5") + b"12345"
        behind = request("GET", "/own/t1/admin") * 40 + request("GET", "/open/x", LAST)
        answer = await talk(w.address, upgrade + behind, silence=PATIENCE)
        assert statuses(answer.raw) == [401] * 41 + [200]
        assert [record.path for record in w.records] == ["/own/t1/ws", *["/own/t1/admin"] * 40, "/open/x"]
        assert w.sent_upstream.count(b"\r\n\r\n") == 1


async def test_frames_behind_a_refused_websocket_are_no_request_either() -> None:
    async with world(OWN) as w:
        early = frame(TEXT, b"GET /own/t1/admin HTTP/1.1\r\nHost: a\r\n\r\n", mask=b"\0\0\0\0")
        answer = await talk(w.address, request("GET", "/own/t1/ws", *UPGRADE) + early, silence=PATIENCE)
        assert (statuses(answer.raw), answer.closed) == ([401, 400], True)
        assert w.origin.peers == []


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", UPGRADE),
        ("DELETE", UPGRADE),
        ("GET", UPGRADE[1:]),
        ("GET", ("Connection: keep-alive", *UPGRADE[1:])),
        ("GET", (*UPGRADE[:2], "Sec-WebSocket-Key: c2hvcnQ=", UPGRADE[3])),
        ("GET", (*UPGRADE[:2], UPGRADE[3])),
        ("GET", (*UPGRADE, f"Sec-WebSocket-Key: {KEY}")),
        ("GET", (*UPGRADE, "Sec-WebSocket-Version: 13")),
        ("GET", (*UPGRADE, "Sec-WebSocket-Extensions: a b")),
        ("GET", (*UPGRADE, "Content-Length: 3")),
        ("GET", (*UPGRADE, "Transfer-Encoding: chunked")),
    ],
)
async def test_a_handshake_that_is_none_is_400_and_the_upstream_hears_nothing(
    method: str, headers: tuple[str, ...]
) -> None:
    async with world(OPEN, origin=echoing()) as w:
        answer = await talk(w.address, request(method, "/open/ws", *headers) + b"0\r\n\r\n", silence=PATIENCE)
        assert (answer.status, reason_in(answer.body), answer.closed) == (400, "request_invalid", True)
        assert "error" not in json.loads(answer.body)
        assert w.origin.peers == []


async def test_a_handshake_in_http_1_0_is_400() -> None:
    async with world(OPEN, origin=echoing()) as w:
        sent = request("GET", "/open/ws", *UPGRADE).replace(b"HTTP/1.1", b"HTTP/1.0")
        answer = await talk(w.address, sent)
        assert (answer.status, w.origin.peers) == (400, [])


async def test_another_version_is_426_and_learns_which_one_to_use() -> None:
    async with world(OPEN) as w:
        old = request("GET", "/open/ws", *UPGRADE[:3], "Sec-WebSocket-Version: 8")
        answer = await talk(w.address, old + request("GET", "/open/x", LAST), silence=PATIENCE)
        assert statuses(answer.raw) == [426, 200]
        assert answer.header("Sec-WebSocket-Version") == "13"
        assert (answer.header("Upgrade"), answer.header("Connection")) == ("websocket", "Upgrade")
        assert b"/open/ws" not in w.sent_upstream


async def test_another_upgrade_is_ignored_and_so_is_one_where_no_upstream_is_behind() -> None:
    here = {"name": "here", "path": "/here", "public": True, "respond": {"status": 200, "body": "hello"}}
    async with world(OPEN, here) as w:
        plain = await w.ask(
            "GET", "/open/x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x"
        )
        assert (plain.status, b"pgrade" in w.sent_upstream) == (200, False)
        assert (await w.ask("GET", "/here", *UPGRADE)).body == b"hello"


# --- what the upstream is asked ----------------------------------------------------------------------------------


async def test_the_upstream_gets_one_canonical_handshake() -> None:
    async with world(OWN, origin=holding()) as w:
        spoofs = ("X_Auth_Subject: evil", "Sec_WebSocket_Key: evil", "Sec-WebSocket-Accept: evil", "Keep-Alive: 5")
        offers = ("Sec-WebSocket-Protocol: b, a", "Sec-WebSocket-Extensions: permessage-deflate; x=1")
        odd = ("Connection: keep-alive, Upgrade, Sec-WebSocket-Key", "Upgrade: h2c, WebSocket", *UPGRADE[2:])
        sent = request("GET", "/own/t1/ws?q=1", *odd, *offers, *spoofs, token(), "Content-Length: 0", "Cookie: a=1")
        assert (await talk(w.address, sent)).status == 101
        lines = w.sent_upstream.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        own = ("X-Forwarded", "Forwarded", "X-Request-Id", "Via: 1.1 oauth-gateway-")
        assert [line for line in lines if not line.startswith(own)] == [
            "GET /own/t1/ws?q=1 HTTP/1.1",
            f"Host: 127.0.0.1:{w.origin.port}",
            "Cookie: a=1",
            "X-Auth-Subject: u1",
            "X-Auth-Client-Id: app",
            "X-Auth-Scopes: s",
            "X-Auth-Issuer: https://login.example.com",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: b, a",
            "Sec-WebSocket-Extensions: permessage-deflate; x=1",
        ]


async def test_the_client_gets_the_upstreams_fields_and_what_was_agreed() -> None:
    async def play(peer: Peer) -> None:
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        agreed = (b"Sec-WebSocket-Protocol: a", b"Set-Cookie: a=1", b"X-Own: 1", b"Keep-Alive: 5", b"Server: x")
        await peer.send(hints + switch(await peer.head(), *agreed))
        await peer.until_closed()

    route = {**OPEN, "response_headers": {"set": {"X-Set": "2"}, "remove": ["Server"]}}
    async with world(route, origin=ScriptedOrigin(play)) as w:
        sent = request("GET", "/open/ws", *UPGRADE, "Sec-WebSocket-Protocol: b, a")
        answer = await talk(w.address, sent, silence=2)
        assert statuses(answer.raw) == [103, 101]
        assert answer.raw.partition(b"HTTP/1.1 101")[2].split(b"\r\n") == [
            b" Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            b"Sec-WebSocket-Protocol: a",
            b"Set-Cookie: a=1",
            b"X-Own: 1",
            b"X-Set: 2",
            b"",
            b"",
        ]


async def test_what_the_upstream_answers_instead_is_passed_on_and_its_connection_used_for_nothing_else() -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 4\r\n\r\nno.\n"
    async with world(OPEN, origin=ScriptedOrigin(answers(refusal), always_ok)) as w:
        sent = request("GET", "/open/ws", *UPGRADE) + request("GET", "/open/x", LAST)
        answer = await talk(w.address, sent, silence=PATIENCE)
        assert statuses(answer.raw) == [403, 200]
        assert answer.header("X-Why") == "no"
        assert b"\r\n\r\nno.\nHTTP/1.1 200 OK" in answer.raw
        assert len(w.origin.peers) == 2
        assert [record.status for record in w.records] == [403, 200]


@pytest.mark.parametrize("length", [b"Content-Length: 300000", b"Transfer-Encoding: chunked"])
async def test_a_long_refusal_of_the_upstream_streams(length: bytes) -> None:
    body = b"x" * 300_000
    if b"chunked" in length:
        body = b"493e0\r\n" + body + b"\r\n0\r\n\r\n"
    refusal = b"HTTP/1.1 503 Busy\r\n" + length + b"\r\n\r\n" + body
    async with world(OPEN, origin=ScriptedOrigin(answers(refusal))) as w:
        answer = await w.ask("GET", "/open/ws", *UPGRADE, LAST, silence=PATIENCE)
        assert (answer.status, answer.raw.count(b"x") >= 300_000) == (503, True)


def wrong(head: bytes, old: bytes, new: bytes) -> bytes:
    answer = switch(head).replace(old, new)
    assert answer != switch(head)
    return answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Sec-WebSocket-Accept: s3", b"Sec-WebSocket-Accept: S3"),
        (b"Sec-WebSocket-Accept", b"X-Accept"),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Upgrade: websocket\r\n", b""),
        (b"Connection: Upgrade\r\n", b""),
        (b"Connection: Upgrade\r\n", b"Connection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\n"),
        (b"Connection: Upgrade\r\n", b"Connection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"),
        (b"Connection: Upgrade\r\n", b"Connection: Upgrade\r\nContent-Length: 5\r\n"),
        (b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_a_101_that_is_no_answer_to_the_handshake_is_502_and_that_connection_closed(
    old: bytes, new: bytes
) -> None:
    async def play(peer: Peer) -> None:
        await peer.send(wrong(await peer.head(), old, new) + frame(TEXT, b"HTTP/1.1 200 OK"))
        await peer.until_closed()

    async with world(OPEN, origin=ScriptedOrigin(play, always_ok)) as w:
        sent = request("GET", "/open/ws", *UPGRADE) + request("GET", "/open/x", LAST)
        answer = await talk(w.address, sent, silence=PATIENCE)
        assert statuses(answer.raw) == [502, 200]
        assert reason_in(answer.body.partition(b"HTTP/1.1")[0]) == "upstream_invalid"
        await asyncio.wait_for(w.origin.peers[0].ended.wait(), 5)
        assert w.gateway.upstreams["orders"].direct.open == 1


async def test_an_upstream_that_is_not_there_or_says_nothing_is_502_and_504() -> None:
    with held_port() as port:
        async with world(OPEN, upstreams={"orders": {"url": f"http://127.0.0.1:{port}"}}) as w:
            answer = await w.ask("GET", "/open/ws", *UPGRADE)
            assert (answer.status, reason_in(answer.body)) == (502, "upstream_unreachable")
    async with world({**OPEN, "timeout": "100ms"}, origin=ScriptedOrigin(silent)) as w:
        answer = await w.ask("GET", "/open/ws", *UPGRADE)
        assert (answer.status, reason_in(answer.body)) == (504, "upstream_timeout")


async def test_open_websockets_count_in_max_connections() -> None:
    async with ScriptedOrigin(switched(OriginSide.until_closed)) as origin:
        url = f"http://127.0.0.1:{origin.port}"
        upstreams = {"orders": {"url": url, "max_connections": 1, "timeouts": {"connect": "200ms"}}}
        async with world(OPEN, upstreams=upstreams) as w:
            async with websocket(w.address, "/open/ws") as client:
                assert client.status == 101
                busy = await w.ask("GET", "/open/ws", *UPGRADE)
                assert (busy.status, reason_in(busy.body)) == (503, "upstream_unavailable")
                client.writer.close()
                await until(lambda: w.gateway.upstreams["orders"].direct.open == 0)
            async with websocket(w.address, "/open/ws") as client:
                assert client.status == 101


async def test_a_client_that_gives_up_before_the_answer_leaves_nothing_behind() -> None:
    async with world(OPEN, origin=ScriptedOrigin(silent)) as w:
        _, writer = await asyncio.open_connection(*w.address)
        writer.write(request("GET", "/open/ws", *UPGRADE))
        await until(lambda: bool(w.origin.peers) and bool(w.origin.peers[0].received))
        writer.close()
        await asyncio.wait_for(w.origin.peers[0].ended.wait(), 2)
        await until(lambda: len(w.records) == 1)
        assert (w.records[0].status, w.gateway.in_flight) == (499, 0)


async def test_what_one_user_said_never_reaches_another() -> None:
    async with world(OWN, origin=ScriptedOrigin(switched(echo), switched(echo), always_ok)) as w:
        async with (
            websocket(w.address, "/own/t1/1", token(sub="one")) as first,
            websocket(w.address, "/own/t1/2", token(sub="two")) as second,
        ):
            for number in range(20):
                await first.say(b"one %d" % number)
                await second.say(b"two %d" % number)
                assert (await first.frame()).payload == b"one %d" % number
                assert (await second.frame()).payload == b"two %d" % number
            await first.bye()
            await second.bye()
            assert len(await first.last_frames()) == len(await second.last_frames()) == 1
        assert (await w.ask("GET", "/own/t1/3", token(sub="three"))).body == b"ok"


# --- how long it lasts -------------------------------------------------------------------------------------------


async def test_it_is_closed_with_1008_when_its_token_expires() -> None:
    async with world(OWN, origin=holding(), issuers=issuer()) as w:
        expires = int(time.time()) + 2
        async with websocket(w.address, "/own/t1/ws", token(exp=expires)) as client:
            goodbye = await client.frame()
            assert (goodbye.code, goodbye.payload[2:]) == (1008, b"token_expired")
            assert 0 <= time.time() - expires < 1 + MARGIN
            await client.bye(1008)
            assert await client.rest() == b""
        await until(lambda: len(w.records) == 1)
        record = w.records[0]
        assert (record.status, record.decision, record.reason) == (101, "allow", "token_expired")
        assert w.sent_upstream.endswith(frame(8, b"\x03\xe9", mask=w.sent_upstream[-6:-2]))


@pytest.mark.parametrize("subject", ["sub", "jti", "client_id", "sid"])
async def test_it_is_closed_with_1008_within_a_second_of_a_revocation(subject: str) -> None:
    async with world(OWN, origin=holding()) as w:
        claims = {"sub": "u1", "jti": "j1", "client_id": "app", "sid": "s1"}
        others = {"sub": "u2", "jti": "j2", "client_id": "other", "sid": "s2"}
        async with (
            websocket(w.address, "/own/t1/ws", token(**claims)) as client,
            websocket(w.address, "/own/t1/ws", token(**others)) as other,
        ):
            await asyncio.sleep(0.3)
            before = time.monotonic()
            await w.gateway.revoker.revoke("corp", subject, claims[subject])
            goodbye = await client.frame()
            assert time.monotonic() - before < 1 + MARGIN
            assert (goodbye.code, goodbye.payload[2:]) == (1008, b"token_revoked")
            await client.bye(1008)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(other.reader.read(1), 0.6)


async def test_it_is_closed_when_the_issuer_says_that_its_opaque_token_is_not_active_any_more() -> None:
    async with FakeIssuer() as asked:
        asked.active["opaque-1"] = {"sub": "u1", "scope": "s", "tenant": "t1"}
        introspection = {"client_id": "gateway", "client_secret": "s3cret", "cache": "300ms", "timeout": "5s"}
        block = issuer(issuer=asked.issuer, introspection=introspection)
        async with (
            world(OWN, origin=holding(), issuers=block) as w,
            websocket(w.address, "/own/t1/ws", "Authorization: Bearer opaque-1") as client,
        ):
            assert client.status == 101
            await until(lambda: asked.requests["/introspect"] >= 3)
            asked.active.clear()
            goodbye = await client.frame()
            assert (goodbye.code, goodbye.payload[2:]) == (1008, b"token_inactive")


async def test_the_reason_is_left_out_where_reasons_are_not_shown() -> None:
    async with (
        world(OWN, origin=holding(), errors={"expose_reason": False}) as w,
        websocket(w.address, "/own/t1/ws", token()) as client,
    ):
        await w.gateway.revoker.revoke("corp", "sub", "u1")
        assert (await client.frame()).payload == b"\x03\xf0"


async def test_a_client_that_keeps_sending_is_cut_off_all_the_same() -> None:
    async def flood(origin: OriginSide) -> None:
        while True:
            await origin.send(frame(BINARY, b"x" * 65536))

    async with (
        world(OWN, origin=ScriptedOrigin(switched(flood)), timeouts={"idle": "1s"}) as w,
        websocket(w.address, "/own/t1/ws", token()) as client,
    ):
        await w.gateway.revoker.revoke("corp", "sub", "u1")
        for _ in range(100_000):
            if (last := await client.frame()).opcode == 8:
                break
        assert last.code == 1008
        await client.send(frame(BINARY, b"y" * 70_000, mask=MASK))
        await client.rest()
        await until(lambda: len(w.records) == 1)


async def test_a_gateway_that_is_closed_leaves_none_open_that_nobody_watches() -> None:
    async with world(OWN, origin=holding()) as w, websocket(w.address, "/own/t1/ws", token()) as client:
        await w.gateway.close()
        goodbye = await client.frame()
        assert (goodbye.code, goodbye.payload[2:]) == (1001, b"draining")


async def test_a_route_in_shadow_mode_and_a_public_one_close_nothing() -> None:
    shadow = {"name": "shadow", "path": "/shadow/**", "require": {"scopes": ["s"]}, "enforce": False}
    async with (
        world(shadow, OPEN, origin=echoing()) as w,
        websocket(w.address, "/shadow/ws", token()) as good,
        websocket(w.address, "/shadow/ws", "Authorization: Bearer nonsense") as bad,
        websocket(w.address, "/open/ws", token()) as public,
    ):
        await w.gateway.revoker.revoke("corp", "sub", "u1")
        await asyncio.sleep(0.5)
        for client in (good, bad, public):
            await client.say(b"still here")
            assert (await client.frame()).payload == b"still here"


async def test_one_record_is_written_when_it_ends() -> None:
    async with world(OWN, origin=echoing()) as w:
        async with websocket(w.address, "/own/t1/ws", token()) as client:
            await client.say(b"hello")
            await client.frame()
            await asyncio.sleep(0.1)
            assert (w.records, w.gateway.in_flight) == ([], 1)
            await client.bye()
            await client.rest()
        await until(lambda: len(w.records) == 1)
        record = w.records[0]
        assert (record.status, record.upstream_status, record.decision, record.route) == (101, 101, "allow", "own")
        assert (record.bytes_in, record.bytes_out) == (11 + 8, 7 + 4)
        assert record.seconds >= 0.1
        assert record.upstream_seconds is not None
        assert record.upstream_seconds < record.seconds
        assert (w.gateway.in_flight, len(w.gateway.watch)) == (0, 0)


# --- whatever comes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_sent_after_the_101_ends_in_order_and_disturbs_nobody(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [frame(TEXT, b"a", mask=MASK), frame(TEXT, b"a", fin=False, mask=MASK), close(1000, mask=MASK), b"\x81"]
    pieces += [bytes([0x80 | opcode, 0x80]) + MASK for opcode in range(16)] + [b"\x82\xff", b"GET / HTTP/1.1\r\n\r\n"]
    async with world(OPEN, origin=echoing()) as w:
        async with websocket(w.address, "/open/ws") as bystander:
            for _ in range(30):
                junk = b"".join(chance.choice(pieces) for _ in range(chance.randrange(1, 6))) + chance.randbytes(30)
                async with websocket(w.address, "/open/ws", early=junk[:5]) as client:
                    assert client.status == 101
                    await client.send(junk[5:])
            await bystander.say(b"still here")
            assert (await bystander.frame()).payload == b"still here"
        await until(lambda: len(w.records) == 31)
        assert {record.status for record in w.records} == {101}
        await until(lambda: w.gateway.upstreams["orders"].direct.open == 0)


async def willing(peer: Peer) -> None:
    """Switches where it is asked to with a key, and else answers."""
    while True:
        head = await peer.head()
        if b"sec-websocket-key: " in head.lower():
            await peer.send(switch(head))
            await peer.until_closed()
        await peer.send(OK)


async def test_a_handshake_that_is_damaged_is_answered_or_refused_and_never_a_fault() -> None:
    chance = random.Random(1)
    good = request("GET", "/open/ws", *UPGRADE, "Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Extensions: x; y=1")
    async with world(OPEN, origin=ScriptedOrigin(willing), timeouts={"request_head": "500ms"}) as w:
        for _ in range(60):
            data = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                position = chance.randrange(len(data))
                if chance.random() < 0.5:
                    del data[position : position + chance.randrange(1, 8)]
                else:
                    data[position] = chance.randrange(256)
            answer = await talk(w.address, bytes(data), silence=0.02, patience=2)
            assert all(status < 500 or status in (501, 502, 505) for status in statuses(answer.raw)), data
        assert not [record for record in w.records if record.status == 500]
