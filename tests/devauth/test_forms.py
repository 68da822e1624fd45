"""Parameters are read strictly: percent-encoded UTF-8, none of them twice, and not too many."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from authlib.oauth2.rfc6749 import InvalidRequestError

from gateway.devauth import forms

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def ask(session: aiohttp.ClientSession) -> AsyncIterator[object]:
    """Sends bytes to a server that tells what it has read of them."""

    async def read(request: web.Request) -> web.Response:
        try:
            if request.path == "/query":
                found = forms.of_query(request)
            elif request.path == "/body":
                found = await forms.of_body(request)
            else:
                return web.json_response(await forms.document(request))
        except InvalidRequestError as error:
            return web.json_response({"refused": error.description})
        return web.json_response({"values": found.values, "repeated": sorted(found.repeated)})

    application = web.Application(client_max_size=forms.LARGEST_BODY)
    application.add_routes([web.route("*", path, read) for path in ("/query", "/body", "/document")])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]

    async def send(path: str, body: bytes = b"", content_type: str = FORM) -> dict[str, object]:
        headers = {"Content-Type": content_type}
        async with session.post(f"http://127.0.0.1:{port}{path}", data=body, headers=headers) as answer:
            read: dict[str, object] = json.loads(await answer.text())
            return read

    yield send
    await runner.cleanup()


@pytest.mark.parametrize(
    ("text", "values", "repeated"),
    [
        ("a=1&b=%C3%A9+x", {"a": "1", "b": "é x"}, []),
        ("a=&b=1", {"b": "1"}, []),
        ("a=1&a=2&b=3", {"a": "1", "b": "3"}, ["a"]),
        ("a=&a=2", {"a": "2"}, ["a"]),
        ("a&b==c;d", {"b": "=c;d"}, []),
        ("", {}, []),
    ],
)
async def test_values_come_with_the_names_that_came_twice(
    ask: object, text: str, values: dict[str, str], repeated: list[str]
) -> None:
    assert callable(ask)
    expected = {"values": values, "repeated": repeated}
    assert await ask("/body", text.encode()) == expected
    assert await ask(f"/query?{text}") == expected


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"a=%ff", FORM, "not in UTF-8"),
        (b"a=%ed%a0%80", FORM, "not in UTF-8"),
        (b"a=\xc3\xa9", FORM, "not percent-encoded"),
        (b"a=1&" * 150, FORM, "too many"),
        (b"a=1", "text/plain", "must be application/x-www-form-urlencoded"),
        (b"a=1", "multipart/form-data; boundary=x", "must be application/x-www-form-urlencoded"),
    ],
)
async def test_what_can_be_read_in_two_ways_is_refused(ask: object, body: bytes, content_type: str, said: str) -> None:
    assert callable(ask)
    assert said in (await ask("/body", body, content_type))["refused"]


async def test_a_document_is_one_json_object(ask: object) -> None:
    assert callable(ask)
    assert await ask("/document", b'{"a": [1]}', "application/json") == {"a": [1]}
    for body in (b"[]", b"1", b"{", b"", b"\xff", b"[" * 30_000):
        assert "refused" in await ask("/document", body, "application/json")
    assert "refused" in await ask("/document", b"{}", "text/plain")
