"""What is no request is answered without a word of it, and nothing of it is logged."""

from __future__ import annotations

import asyncio
import logging
import re
from urllib.parse import urlsplit

import pytest

from gateway.devauth.server import DevelopmentServer

FORM = b"POST /token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer CANARY\x01\r\n\r\n",
        b"GET /CANARY\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /?code=CANARY" + b"a" * 9000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"CANARY\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCANARY\r\n\r\n",
        FORM + b"Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\nCANARY",
        FORM + b"Content-Encoding: CANARY\r\nContent-Length: 1\r\n\r\na",
        FORM + b"Transfer-Encoding: chunked\r\n\r\nCANARY\r\n",
        FORM + b"Transfer-Encoding: chunked\r\n\r\n6\r\nCANARYxx\r\n",
        FORM + b"Content-Length: 6\r\nContent-Length: 7\r\n\r\nCANARY",
    ],
)
async def test_malformed_bytes_get_a_400_that_repeats_nothing(
    server: DevelopmentServer, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.issuer).port)
    writer.write(sent)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    got = head + await asyncio.wait_for(reader.readexactly(int(length[1])), 30)
    writer.close()
    await writer.wait_closed()
    assert got.split(b" ", 2)[1] == b"400", got
    assert b'"error": "invalid_request"' in got
    assert b"CANARY" not in got
    assert "CANARY" not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("gateway")
    )
