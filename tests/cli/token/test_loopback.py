"""Where the browser comes back to: only this machine, and only one sign-in. What comes is a stranger's until proven."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from yarl import URL

from gateway.cli.token.loopback import RedirectAddress, RedirectListener
from gateway.oauth.authorization_code import ForeignAnswer

HERE = RedirectAddress("127.0.0.1", 0, "/callback")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://127.0.0.1:0/callback", "http://127.0.0.1:9/callback"),
        ("http://127.0.0.1", "http://127.0.0.1:9"),
        ("http://localhost:0/", "http://localhost:9/"),
        ("http://localhost:0/a/b", "http://localhost:9/a/b"),
        ("http://[::1]:0/x", "http://[::1]:9/x"),
        ("http://127.1.2.3/x", "http://127.1.2.3:9/x"),
    ],
)
def test_addresses_of_this_machine_are_taken(uri: str, expected: str) -> None:
    assert RedirectAddress.parse(uri).at(9) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1/callback",
        "http://192.0.2.1/callback",
        "http://app.example/callback",
        "http://localhost.example/",
        "http://0.0.0.0/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1/?x=1",
        "http://127.0.0.1/#x",
        "http://127.0.0.1:99999/",
        "http://[::1",
        "com.example.app:/callback",
        "urn:ietf:wg:oauth:2.0:oob",
        "",
    ],
)
def test_any_other_address_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        RedirectAddress.parse(uri)


async def test_nothing_is_taken_before_it_is_expected() -> None:
    async with (
        RedirectListener(HERE) as listener,
        aiohttp.ClientSession() as session,
        session.get(f"{listener.redirect_uri}?code=C") as answer,
    ):
        assert answer.status == 400


async def test_it_listens_on_this_machine_alone_and_no_more_afterwards() -> None:
    async with RedirectListener(HERE) as listener:
        port = int(listener.redirect_uri.rpartition(":")[2].partition("/")[0])
        assert listener.redirect_uri == f"http://127.0.0.1:{port}/callback"
    with pytest.raises(OSError, match=r".+"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


async def test_localhost_is_both_families_where_there_are_both() -> None:
    async with RedirectListener(RedirectAddress("localhost", 0, "/")) as listener, aiohttp.ClientSession() as session:
        port = listener.redirect_uri.rpartition(":")[2].removesuffix("/")
        for address in ("127.0.0.1", *(["[::1]"] if _has_ipv6() else [])):
            async with session.get(f"http://{address}:{port}/", headers={"Host": f"localhost:{port}"}) as answer:
                assert answer.status == 400


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match=r".+"):
        async with RedirectListener(RedirectAddress("127.0.0.1", taken.getsockname()[1], "/")):
            pass


async def test_an_address_without_a_path_is_met_at_its_root() -> None:
    async def receive(_: str) -> None:
        """Good."""

    async with RedirectListener(RedirectAddress.parse("http://127.0.0.1")) as listener:
        assert listener.redirect_uri.count("/") == 2
        listener.expect(receive)
        async with aiohttp.ClientSession() as session, session.get(f"{listener.redirect_uri}?code=C") as answer:
            assert str(answer.url) == f"{listener.redirect_uri}/done"
            assert "You are signed in" in await answer.text()


async def test_a_good_answer_ends_the_waiting_once_its_page_was_shown() -> None:
    queries: list[str] = []

    async def receive(query: str) -> None:
        queries.append(query)
        if "good" not in query:
            raise ForeignAnswer("no")

    async with RedirectListener(HERE) as listener, aiohttp.ClientSession() as session:
        listener.expect(receive)
        waiting = asyncio.create_task(listener.wait())
        async with session.get(URL(f"{listener.redirect_uri}?bad=%41+b", encoded=True)) as answer:
            assert answer.status == 400
        assert not waiting.done()
        good = URL(f"{listener.redirect_uri}?good=%41+b", encoded=True)
        async with session.get(good, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/callback/done")
        assert not waiting.done()
        async with session.get(f"{listener.redirect_uri}/done") as answer:
            assert "You are signed in" in await answer.text()
        async with asyncio.timeout(30):
            await waiting
    assert queries == ["bad=%41+b", "good=%41+b"]


async def test_a_failure_is_shown_without_its_text_and_raised_where_somebody_waits() -> None:
    async def receive(_: str) -> None:
        raise RuntimeError("<b>secret</b>")

    async with RedirectListener(HERE) as listener, aiohttp.ClientSession() as session:
        listener.expect(receive)
        waiting = asyncio.create_task(listener.wait())
        async with session.get(f"{listener.redirect_uri}?x=1") as answer:
            page = await answer.text()
        assert "That did not work" in page
        assert "secret" not in page
        with pytest.raises(RuntimeError):
            await waiting


async def test_a_browser_that_never_fetches_the_last_page_is_not_waited_for_long() -> None:
    async def receive(_: str) -> None:
        """Good."""

    async with RedirectListener(HERE) as listener, aiohttp.ClientSession() as session:
        listener.expect(receive)
        async with session.get(f"{listener.redirect_uri}?x=1", allow_redirects=False):
            pass
        async with asyncio.timeout(30):
            await listener.wait()


@pytest.mark.parametrize(
    "line", [b"GET /callback?code=S3CRET HTTP/1.1\r\nHost : x\r\n\r\n", b"\x16\x03\x01\x00", b"S3CRET\r\n\r\n"]
)
async def test_malformed_requests_leave_no_trace(line: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    async with RedirectListener(HERE) as listener:
        port = int(listener.redirect_uri.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(line)
        writer.write_eof()
        async with asyncio.timeout(30):
            await reader.read()
        writer.close()
    assert "S3CRET" not in "".join(capfd.readouterr())
