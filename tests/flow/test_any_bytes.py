"""Whatever bytes a client sends: an answer or a refusal, never a fault or an echo, and the next client is served."""

from __future__ import annotations

import random

import pytest

from tests.dialogue import request, statuses, talk
from tests.world import bearer, mint, world

ROUTE = {"name": "own", "path": "/own/{tenant}/**", "require": {"scopes": ["s"]}}
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b"%",
    b"%2e",
    b"..",
    b"//",
    b"\xff",
    b"\xc3\xa9",
    b"{",
    b",",
    b";",
]
PIECES += [
    b"Host: x\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/9.9",
]
PIECES += [
    b"Authorization: Bearer x\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Upgrade: h2c\r\n",
    b"*",
    b"#",
]


def mutated(good: bytes, chance: random.Random) -> bytes:
    data = bytearray(good)
    for _ in range(chance.randint(1, 4)):
        position = chance.randrange(len(data) + 1)
        if chance.random() < 0.5:
            data[position:position] = chance.choice(PIECES)
        elif chance.random() < 0.5:
            del data[position : position + chance.randint(1, 6)]
        else:
            data[position : position + 1] = bytes([chance.randrange(256)])
    return bytes(data)


@pytest.mark.parametrize("seed", range(6))
async def test_a_damaged_request_is_answered_or_refused_and_never_a_fault(seed: int) -> None:
    chance = random.Random(seed)
    token = mint(scope="s", sub="CANARY-SUBJECT")
    async with world(ROUTE, timeouts={"request_head": "500ms", "request_body": "500ms"}) as w:
        good = request("POST", "/own/t1/x?q=CANARY-QUERY", f"Authorization: Bearer {token}", body=b"12345")
        for _ in range(25):
            sent = mutated(good, chance)
            answer = await talk(w.address, sent, silence=0.02, patience=2)
            for status in statuses(answer.raw):
                assert status < 500 or status in (501, 502, 505), (sent, answer.raw)
            assert b"CANARY" not in answer.raw
            assert token.encode() not in answer.raw
        assert (await w.ask("GET", "/own/t1/x", bearer(scope="s"))).status == 200
        assert not [record for record in w.records if record.status == 500]


@pytest.mark.parametrize("seed", range(4))
async def test_any_bytes_as_a_token_are_400_or_401(seed: int) -> None:
    chance = random.Random(seed)
    good = mint(scope="s").encode()
    async with world(ROUTE) as w:
        for _ in range(40):
            value = bytearray(good if chance.random() < 0.6 else bytes(chance.randrange(256) for _ in range(60)))
            for _ in range(chance.randint(1, 5)):
                value[chance.randrange(len(value))] = chance.choice(b'abc.-_=AZ09~+/ ,"%\x80\xff{}')
            value = bytearray(value.replace(b"\r", b"x").replace(b"\n", b"x").replace(b"\x00", b"x"))
            if value == good:
                continue  # the change put the same character back
            head = b"GET /own/t1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + bytes(value) + b"\r\n\r\n"
            answer = await talk(w.address, head, silence=0.02)
            assert answer.status in (400, 401), answer.raw
            assert bytes(value[:40]) not in answer.raw
        assert w.origin.peers == []
