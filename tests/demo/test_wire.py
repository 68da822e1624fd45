"""What is kept of a request is what went over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.demo.wire import Message, NoAnswer, Wire

ANSWER = (
    b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
    b"Content-Length: 4\r\nConnection: close\r\n\r\n\xff{}\n"
)


class Server:
    """Answers every connection in the same way, and keeps what it was sent."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.origin = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        self.received.append(head + await reader.readexactly(length))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    running = Server()
    listener = await asyncio.start_server(running.answer, "127.0.0.1", 0)
    running.origin = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield running
    listener.close()
    await listener.wait_closed()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as opened:
        yield opened


def as_bytes(message: Message) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in message.fields)
    return f"{message.first}\r\n{fields}\r\n{message.body}".encode()


async def test_a_request_is_kept_to_the_byte(server: Server, wire: Wire) -> None:
    fields = {"Authorization": "Bearer t", "Content-Type": "application/x-www-form-urlencoded"}
    sent = await wire.send("POST", f"{server.origin}/a%2fb?c=%7e&d", fields, "code=ä+b&state=%20")
    assert as_bytes(sent.request) == server.received[0]
    assert sent.request.first == "POST /a%2fb?c=%7e&d HTTP/1.1"
    assert b"gzip" not in server.received[0]


async def test_an_answer_is_kept_with_repeated_fields_and_a_redirect_is_not_followed(
    server: Server, wire: Wire
) -> None:
    sent = await wire.send("GET", f"{server.origin}/", {})
    assert sent.status == 302
    assert sent.response.first == "HTTP/1.1 302 Found"
    assert [value for name, value in sent.response.fields if name == "Set-Cookie"] == ["a=1", "b=2"]
    assert sent.response.value_of("location") == "/elsewhere"
    assert sent.response.body == "�{}\n"
    await wire.send("GET", f"{server.origin}/", {})
    assert len(server.received) == 2
    assert b"Cookie" not in server.received[1]


async def test_no_answer_is_an_error_that_tells_no_address(server: Server, wire: Wire) -> None:
    _, _, port = server.origin.rpartition(":")
    with pytest.raises(NoAnswer) as failure:
        await wire.send("GET", "http://127.0.0.1:1/secret", {})
    assert "secret" not in str(failure.value)
    assert port not in str(failure.value)


@pytest.mark.parametrize(
    ("body", "members"), [('{"a": 1}', {"a": 1}), ("[1]", {}), ("", {}), ("<html>", {}), ('"a"', {})]
)
def test_only_an_object_has_members(body: str, members: dict[str, int]) -> None:
    assert Message("HTTP/1.1 200 OK", (), body).members() == members
