"""Retries through the gateway: what the client gets, what each endpoint is sent, and never a byte of a body twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.flow.test_endpoints import CLOSE, urls
from tests.flow.test_forwarding import OPEN
from tests.http.origin import ScriptedOrigin, always_ok
from tests.services import held_port
from tests.upstream.test_service import BUSY, always, hang_up
from tests.world import world

EVERY_METHOD = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"]


def upstreams(*addresses: str, **retry: Any) -> dict[str, Any]:
    return {"orders": {"urls": list(addresses), "retry": {"budget": 1.0, **retry}}}


@pytest.mark.parametrize("method", EVERY_METHOD)
async def test_a_body_whose_first_endpoint_takes_no_connection_reaches_the_other_one_whole(method: str) -> None:
    with held_port() as nobody:
        async with ScriptedOrigin(always_ok) as good:
            rules = upstreams(f"http://127.0.0.1:{nobody}", *urls(good), methods=EVERY_METHOD)
            async with world(OPEN, upstreams=rules) as w:
                for number in range(4):
                    answer = await w.ask(method, "/open/x", CLOSE, f"X-Id: {number}", body=b"x" * 1000)
                    assert answer.status == 200
                assert w.gateway.upstreams["orders"].retries == 2
        received = b"".join(good.received)
        assert [received.count(b"X-Id: %d" % number) for number in range(4)] == [1] * 4
        assert received.count(b"x" * 1000) == 4


async def test_by_default_a_post_is_not_sent_again_even_where_nothing_was_written() -> None:
    with held_port() as nobody:
        async with (
            ScriptedOrigin(always_ok) as good,
            world(OPEN, upstreams=upstreams(f"http://127.0.0.1:{nobody}", *urls(good))) as w,
        ):
            statuses = [(await w.ask("POST", "/open/x", CLOSE)).status for _ in range(4)]
            assert sorted(statuses) == [200, 200, 502, 502]
            assert [(await w.ask("GET", "/open/x", CLOSE)).status for _ in range(4)] == [200] * 4


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [b"", b"paid"])
async def test_what_may_have_happened_is_never_done_twice(method: str, body: bytes) -> None:
    rules = {"on": ["connect", "disconnect", "timeout", 502, 503, 504], "methods": EVERY_METHOD, "attempts": 3}
    async with ScriptedOrigin(always(BUSY)) as busy, ScriptedOrigin(hang_up) as dead:
        async with world(OPEN, upstreams=upstreams(*urls(busy, dead), **rules)) as w:
            for number in range(6):
                answer = await w.ask(method, "/open/x", CLOSE, f"X-Id: {number}", body=body)
                assert answer.status in (502, 503)
        received = b"".join([*busy.received, *dead.received])
        assert [received.count(b"X-Id: %d" % number) for number in range(6)] == [1] * 6


async def test_a_get_is_answered_by_whoever_can() -> None:
    rules = {"on": ["disconnect", "503"], "attempts": 2}
    async with (
        ScriptedOrigin(always(BUSY)) as busy,
        ScriptedOrigin(hang_up) as dead,
        ScriptedOrigin(always_ok) as good,
        world(OPEN, upstreams=upstreams(*urls(busy, dead, good), **rules)) as w,
    ):
        assert [(await w.ask("GET", "/open/x", CLOSE)).status for _ in range(9)] == [200] * 9
        assert w.records[-1].upstream_status == 200


async def test_when_nobody_can_the_last_failure_is_what_the_client_is_told() -> None:
    with held_port() as one, held_port() as other:
        rules = upstreams(f"http://127.0.0.1:{one}", f"http://127.0.0.1:{other}", attempts=3)
        async with world(OPEN, upstreams=rules) as w:
            answer = await w.ask("GET", "/open/x", CLOSE)
            assert (answer.status, json.loads(answer.body)["reason"]) == (502, "upstream_unreachable")
            assert w.gateway.upstreams["orders"].retries == 3


async def test_a_retry_is_a_request_of_its_own_with_the_same_id() -> None:
    async with (
        ScriptedOrigin(always(BUSY)) as busy,
        ScriptedOrigin(always_ok) as good,
        world(OPEN, upstreams=upstreams(*urls(busy, good), on=[503])) as w,
    ):
        for _ in range(2):
            assert (await w.ask("GET", "/open/x", CLOSE)).status == 200
        assert len(w.records) == 2
        for record in w.records:
            assert f"X-Request-Id: {record.request_id}\r\n".encode() in b"".join(good.received)
        assert busy.received[0].count(b"X-Request-Id") == 1
