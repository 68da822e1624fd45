"""The pool of connections to one origin: who gets one, who waits, what is closed, and what is never sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.http.client import ConnectFailed, ConnectTimeout, Disconnected, Origin, Pool, PoolTimeout, ResponseTimeout
from gateway.http.message import Truncated
from tests.http.origin import OK, Peer, Script, ScriptedOrigin, always_ok, answers, pool_to, silent, until, whole

GET = b"GET /orders HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"


async def one_piece() -> AsyncIterator[bytes]:
    yield b"hi"


def request_of(method: str) -> bytes:
    return GET.replace(b"GET", method.encode())


# Reuse


async def test_the_connection_used_last_is_taken_first() -> None:
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin) as pool:
        await asyncio.gather(*[pool.send(GET, method="GET") for _ in range(3)])
        assert (pool.open, pool.idle) == (3, 3)
        for _ in range(5):
            await pool.send(GET, method="GET")
    assert sorted(len(received) // len(GET) for received in origin.received) == [1, 1, 6]


async def test_what_one_user_was_sent_never_reaches_the_next() -> None:
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    async with ScriptedOrigin(answers(OK + poison), always_ok) as origin, pool_to(origin) as pool:
        bodies = [(await pool.send(GET, method="GET")).body for _ in range(3)]
    assert (bodies, len(origin.peers)) == ([b"ok"] * 3, 2)


@pytest.mark.parametrize("late", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"\r\n", b"x"])
async def test_a_resting_connection_that_says_something_is_closed(late: bytes) -> None:
    async def speak(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK, late, pause=0.02)
        await peer.until_closed()

    async with ScriptedOrigin(speak, always_ok) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        await until(lambda: pool.open == 0)
        assert (await pool.send(GET, method="GET")).body == b"ok"
    assert origin.received == [GET, GET]


async def test_a_resting_connection_that_the_origin_closes_is_not_picked() -> None:
    async with ScriptedOrigin(answers(OK, close=True)) as origin, pool_to(origin) as pool:
        for _ in range(3):
            await pool.send(GET, method="GET")
            await until(lambda: pool.open == pool.idle == 0)
    assert origin.received == [GET] * 3


@pytest.mark.parametrize(
    ("response", "keep_alive"),
    [(OK, 0.05), (OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"), 30), (OK, 0)],
)
async def test_a_resting_connection_expires(response: bytes, keep_alive: float) -> None:
    async with ScriptedOrigin(answers(response)) as origin, pool_to(origin, keep_alive=keep_alive) as pool:
        await pool.send(GET, method="GET")
        await until(lambda: pool.open == pool.idle == 0)
        await origin.peers[0].ended.wait()


async def test_a_connection_past_its_time_is_not_picked_even_before_its_timer() -> None:
    now = 1000.0
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin, clock=lambda: now) as pool:
        await pool.send(GET, method="GET")
        now += 30
        await pool.send(GET, method="GET")
    assert origin.received == [GET, GET]


async def test_a_keep_alive_promise_counts_with_a_second_less() -> None:
    now = 1000.0
    promise = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=5\r\n\r\n")
    async with ScriptedOrigin(answers(*[promise] * 3)) as origin, pool_to(origin, clock=lambda: now) as pool:
        for _ in range(2):
            await pool.send(GET, method="GET")
            now += 3.9
        now += 0.2
        await pool.send(GET, method="GET")
    assert origin.received == [GET * 2, GET]


# Dead connections


async def close_at_the_second(peer: Peer) -> None:
    """Takes two requests and answers one: to the client it looks closed just as it sent."""
    await peer.request()
    await peer.send(OK)
    await peer.request()


async def reset_at_the_second(peer: Peer) -> None:
    await close_at_the_second(peer)
    await peer.reset()


@pytest.mark.parametrize("script", [close_at_the_second, reset_at_the_second])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_dead_connection_is_replaced_once_for_a_safe_method(method: str, script: Script) -> None:
    async with ScriptedOrigin(script, always_ok) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        response = await pool.send(request_of(method), method=method)
        assert response.status == 200
        response.close()
    assert origin.received == [GET + request_of(method), request_of(method)]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_other_methods_are_never_sent_twice(method: str) -> None:
    async with ScriptedOrigin(close_at_the_second, always_ok) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        with pytest.raises(Disconnected):
            await pool.send(request_of(method), method=method)
    assert origin.received == [GET + request_of(method)]


async def test_a_request_with_a_body_is_never_sent_twice() -> None:
    head = POST.replace(b"POST", b"GET")
    async with ScriptedOrigin(close_at_the_second, always_ok) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        with pytest.raises(Disconnected):
            await pool.send(head, method="GET", body=one_piece())
    assert origin.received == [GET + head + b"hi"]


async def test_the_replacement_is_not_replaced_again() -> None:
    async with ScriptedOrigin(close_at_the_second, answers(b"", close=True)) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        with pytest.raises(Disconnected):
            await pool.send(GET, method="GET")
    assert origin.received == [GET * 2, GET]


async def test_a_new_connection_that_is_closed_at_once_is_not_replaced() -> None:
    async with ScriptedOrigin(answers(b"", close=True)) as origin, pool_to(origin) as pool:
        with pytest.raises(Disconnected):
            await pool.send(GET, method="GET")
    assert origin.received == [GET]


async def test_a_request_that_got_an_interim_response_is_not_sent_again() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    async with ScriptedOrigin(answers(OK, hints, close=True)) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        with pytest.raises(Disconnected):
            await pool.send(GET, method="GET")
    assert origin.received == [GET * 2]


async def test_a_replacement_finds_room_in_a_full_pool() -> None:
    scripts = (close_at_the_second, close_at_the_second, always_ok)
    async with ScriptedOrigin(*scripts) as origin, pool_to(origin, max_connections=2) as pool:
        await asyncio.gather(*[pool.send(GET, method="GET") for _ in range(2)])
        assert (pool.open, pool.idle) == (2, 2)
        assert (await pool.send(GET, method="GET")).body == b"ok"
        assert pool.open <= 2


# Waiting


async def test_fifty_requests_share_two_connections() -> None:
    busy = most = 0

    async def count(peer: Peer) -> None:
        nonlocal busy, most
        while True:
            await peer.request()
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.001)
            busy -= 1
            await peer.send(OK)

    async with ScriptedOrigin(count) as origin, pool_to(origin, max_connections=2) as pool:
        responses = await asyncio.gather(*[pool.send(GET, method="GET") for _ in range(50)])
        assert [response.body for response in responses] == [b"ok"] * 50
        assert (len(origin.peers), most, pool.idle) == (2, 2, 2)


async def test_those_who_wait_are_served_in_their_order() -> None:
    order: list[int] = []
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin, max_connections=1) as pool:

        async def ask(number: int) -> None:
            await pool.send(GET, method="GET")
            order.append(number)

        await asyncio.gather(*[ask(number) for number in range(10)])
    assert order == list(range(10))


async def test_whoever_waits_too_long_is_told_so() -> None:
    async with ScriptedOrigin(silent) as origin, pool_to(origin, max_connections=1, connect_timeout=0.05) as pool:
        busy = asyncio.create_task(pool.send(GET, method="GET"))
        await until(lambda: bool(origin.received))
        with pytest.raises(PoolTimeout):
            await pool.send(GET, method="GET")
        assert repr(pool) == "<Pool 1 open, 0 idle, 0 waiting>"
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
    assert len(origin.peers) == 1


async def test_a_connection_that_is_lost_makes_room_for_the_next() -> None:
    async with (
        ScriptedOrigin(answers(b"", close=True), always_ok) as origin,
        pool_to(origin, max_connections=1) as pool,
    ):
        results = await asyncio.gather(
            *[pool.send(POST, method="POST", body=one_piece()) for _ in range(3)], return_exceptions=True
        )
    assert [type(result).__name__ for result in results] == ["Disconnected", "UpstreamResponse", "UpstreamResponse"]
    assert len(origin.peers) == 2


async def test_a_handed_over_connection_that_expires_on_its_way_is_not_used() -> None:
    now = 1000.0
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin, max_connections=1, clock=lambda: now) as pool:

        async def ask_and_let_time_pass() -> None:
            nonlocal now
            await pool.send(GET, method="GET")
            now += 10

        await asyncio.gather(ask_and_let_time_pass(), *[pool.send(GET, method="GET") for _ in range(3)])
    assert origin.received == [GET, GET * 3]


async def test_what_a_cancelled_waiter_was_given_goes_to_the_next() -> None:
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin, max_connections=1) as pool:

        async def ask_and_cancel_the_next() -> None:
            await pool.send(GET, method="GET")
            second.cancel()  # it holds our connection already, and has not run since

        first = asyncio.create_task(ask_and_cancel_the_next())
        await asyncio.sleep(0)
        second, third = (asyncio.create_task(pool.send(GET, method="GET")) for _ in range(2))
        assert (await asyncio.wait_for(third, 1)).body == b"ok"
        assert isinstance((await asyncio.gather(first, second, return_exceptions=True))[1], asyncio.CancelledError)
        assert (pool.open, pool.idle) == (1, 1)
    assert origin.received == [GET * 2]


async def test_a_storm_of_cancellations_leaves_every_slot_free() -> None:
    chance = random.Random(7)

    async def moody(peer: Peer) -> None:
        while True:
            await peer.request()
            await asyncio.sleep(chance.random() / 200)
            if chance.random() < 0.2:
                return
            await peer.send(OK)

    async with ScriptedOrigin(moody) as origin, pool_to(origin, max_connections=3) as pool:
        for _ in range(10):
            tasks = [asyncio.create_task(pool.send(GET, method="GET")) for _ in range(20)]
            for task in tasks:
                asyncio.get_running_loop().call_later(chance.random() / 50, task.cancel)
            await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: pool.open == pool.idle <= 3)
        results = await asyncio.gather(*[pool.send(GET, method="GET") for _ in range(12)], return_exceptions=True)
        assert any(not isinstance(result, BaseException) for result in results)
        assert not [result for result in results if isinstance(result, PoolTimeout)]
        await until(lambda: pool.open == pool.idle)


async def test_a_timeout_of_one_request_leaves_the_pool_usable() -> None:
    async with ScriptedOrigin(silent, always_ok) as origin, pool_to(origin, max_connections=1) as pool:
        with pytest.raises(ResponseTimeout):
            await pool.send(GET, method="GET", response_timeout=0.05)
        assert (await pool.send(GET, method="GET")).body == b"ok"


async def test_a_closed_pool_finishes_what_runs_and_keeps_nothing() -> None:
    go_on = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.request()
        await go_on.wait()
        await peer.send(OK)
        await peer.until_closed()

    async with ScriptedOrigin(always_ok, slow) as origin, pool_to(origin, max_connections=2) as pool:
        await pool.send(GET, method="GET")
        pool.close()
        await until(lambda: pool.open == 0)
        busy = asyncio.create_task(pool.send(GET, method="GET"))
        await until(lambda: len(origin.peers) == 2)
        pool.close()
        go_on.set()
        assert (await busy).body == b"ok"
        await until(lambda: pool.open == 0)


# Connecting


async def test_a_refused_connection_frees_its_slot() -> None:
    async with ScriptedOrigin(always_ok) as origin:
        pass
    async with pool_to(origin, max_connections=1) as pool:
        results = await asyncio.gather(*[pool.send(GET, method="GET") for _ in range(5)], return_exceptions=True)
        assert [type(result) for result in results] == [ConnectFailed] * 5
        assert pool.open == 0


@pytest.mark.parametrize("host", ["name.invalid", "a" * 64 + ".invalid", "..", ""])
async def test_a_name_that_is_none_is_a_failed_connection(host: str) -> None:
    pool = Pool(Origin(host, 1), connect_timeout=5, response_timeout=1, idle_timeout=1, keep_alive=1, max_connections=1)
    with pytest.raises(ConnectFailed):
        await pool.send(GET, method="GET")
    assert pool.open == 0


async def test_an_origin_that_is_slow_to_shake_hands_times_out(certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(cafile=certificate[0])
    async with ScriptedOrigin(silent) as origin:
        address = Origin("127.0.0.1", origin.port, tls=context, server_name="orders.example")
        pool = Pool(address, connect_timeout=0.1, response_timeout=1, idle_timeout=1, keep_alive=1, max_connections=1)
        with pytest.raises(ConnectTimeout):
            await pool.send(GET, method="GET")
        assert pool.open == 0


async def test_a_cancelled_connect_frees_its_slot(certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(cafile=certificate[0])
    async with ScriptedOrigin(silent) as origin:
        address = Origin("127.0.0.1", origin.port, tls=context)
        pool = Pool(address, connect_timeout=5, response_timeout=1, idle_timeout=1, keep_alive=1, max_connections=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.send(GET, method="GET"), 0.05)
        assert pool.open == 0


async def test_a_unix_socket_is_an_origin(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with ScriptedOrigin(always_ok, unix_path=path) as origin:
        pool = Pool(
            Origin("", 0, unix_path=path),
            connect_timeout=1,
            response_timeout=1,
            idle_timeout=1,
            keep_alive=1,
            max_connections=1,
        )
        assert (await pool.send(GET, method="GET")).body == b"ok"
        pool.close()
        await until(lambda: pool.open == 0)
    assert origin.received == [GET]


# Several addresses


@contextlib.contextmanager
def unresponsive(host: str) -> Iterator[int]:
    """A port that takes no connection and refuses none: the kernel drops what does not fit into a full queue."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server((host, 0), backlog=0))
        for _ in range(4):
            queued = stack.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(listening.getsockname())
        time.sleep(0.05)
        yield int(listening.getsockname()[1])


async def test_the_next_address_is_tried_beside_one_that_does_not_answer_and_comes_first_from_then_on() -> None:
    with unresponsive("127.0.0.2") as port:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", port)
        address = Origin("orders", port, addresses=("127.0.0.2", "127.0.0.1"))
        pool = Pool(address, connect_timeout=5, response_timeout=5, idle_timeout=5, keep_alive=30, max_connections=2)
        waits = []
        try:
            for _ in range(2):
                started = time.monotonic()
                await pool.try_connection()
                waits.append(time.monotonic() - started)
        finally:
            pool.close()
            server.close()
        await until(lambda: pool.open == 0)
    assert 0.2 < waits[0] < 5
    assert waits[1] < waits[0]


async def test_when_no_address_takes_a_connection_it_has_failed() -> None:
    address = Origin("orders", 1, addresses=("127.0.0.2", "127.0.0.1", "::1"))
    pool = Pool(address, connect_timeout=5, response_timeout=5, idle_timeout=5, keep_alive=30, max_connections=2)
    with pytest.raises(ConnectFailed):
        await pool.send(GET, method="GET")
    assert pool.open == 0


async def test_when_no_address_answers_the_time_for_a_connection_runs_out() -> None:
    with unresponsive("127.0.0.2") as port:
        address = Origin("orders", port, addresses=("127.0.0.2", "127.0.0.2"))
        pool = Pool(address, connect_timeout=0.4, response_timeout=5, idle_timeout=5, keep_alive=30, max_connections=2)
        with pytest.raises(ConnectTimeout):
            await pool.send(GET, method="GET")
        assert pool.open == 0


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for orders.example, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "orders.example")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("orders.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "crt").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "crt", folder / "key"


@pytest.fixture(scope="module")
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def pool_over_tls(origin: ScriptedOrigin, context: ssl.SSLContext, server_name: str = "orders.example") -> Pool:
    address = Origin("127.0.0.1", origin.port, tls=context, server_name=server_name)
    return Pool(address, connect_timeout=2, response_timeout=2, idle_timeout=2, keep_alive=30, max_connections=2)


async def test_an_origin_over_tls_is_asked_again_on_the_same_connection(
    certificate: tuple[Path, Path], server_tls: ssl.SSLContext
) -> None:
    large = b"x" * 1_000_000
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large)
    context = ssl.create_default_context(cafile=certificate[0])
    async with ScriptedOrigin(answers(OK, response + large, OK), tls=server_tls) as origin:
        pool = pool_over_tls(origin, context)
        for body in (b"ok", large, b"ok"):
            assert await whole(await pool.send(GET, method="GET")) == body
        pool.close()
        await until(lambda: pool.open == 0)
    assert origin.received == [GET * 3]


@pytest.mark.parametrize(("trusted", "server_name"), [(False, "orders.example"), (True, "other.example")])
async def test_a_certificate_that_is_not_accepted_is_a_failed_connection(
    certificate: tuple[Path, Path], server_tls: ssl.SSLContext, trusted: bool, server_name: str
) -> None:
    context = ssl.create_default_context(cafile=certificate[0] if trusted else None)
    async with ScriptedOrigin(always_ok, tls=server_tls) as origin:
        pool = pool_over_tls(origin, context, server_name)
        with pytest.raises(ConnectFailed):
            await pool.send(GET, method="GET")
        assert pool.open == 0
    assert not origin.received


@pytest.mark.parametrize("orderly", [True, False])
async def test_only_a_close_notify_ends_a_body_over_tls(
    certificate: tuple[Path, Path], server_tls: ssl.SSLContext, orderly: bool
) -> None:
    async def until_close(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello", pause=0.02)
        if not orderly:
            peer.cut()

    context = ssl.create_default_context(cafile=certificate[0])
    async with ScriptedOrigin(until_close, tls=server_tls) as origin:
        pool = pool_over_tls(origin, context)
        response = await pool.send(GET, method="GET")
        if orderly:
            assert await whole(response) == b"hello"
        else:
            with pytest.raises(Truncated):
                await whole(response)
        await until(lambda: pool.open == 0)


# Another protocol on a connection


ASK = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


async def test_a_connection_that_switched_counts_until_it_is_lost_and_is_not_read_until_it_is_taken() -> None:
    async def speak(peer: Peer) -> None:
        await peer.head()
        await peer.send(SWITCH + b"first", b" second", pause=0.02)
        await peer.until_closed()

    async with ScriptedOrigin(speak) as origin, pool_to(origin, max_connections=1, connect_timeout=0.2) as pool:
        answer, connection = await pool.switch(ASK)
        assert (answer.status, answer.body, pool.open, pool.idle) == (101, b"first", 1, 0)
        with pytest.raises(PoolTimeout):
            await pool.send(GET, method="GET")
        transport = connection.detach()
        assert not transport.is_reading()
        reader = asyncio.StreamReader()
        transport.set_protocol(Taken(reader, connection.connection_lost))
        transport.resume_reading()
        assert await reader.readexactly(7) == b" second"
        transport.close()
        await until(lambda: pool.open == 0)


class Taken(asyncio.StreamReaderProtocol):
    """The next protocol of a transport; tells the one before of its end."""

    def __init__(self, reader: asyncio.StreamReader, upon_end: Callable[[Exception | None], None]) -> None:
        super().__init__(reader)
        self._tell = upon_end

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._tell(exc)


async def test_a_refused_switch_is_an_ordinary_response_on_a_connection_that_does_not_come_back() -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    async with ScriptedOrigin(answers(refusal)) as origin, pool_to(origin) as pool:
        answer, _ = await pool.switch(ASK)
        assert (answer.status, await whole(answer)) == (403, b"no")
        await until(lambda: pool.open == 0)


async def test_a_switch_on_a_connection_that_turns_out_to_be_closed_is_asked_once_more() -> None:
    async def switched(peer: Peer) -> None:
        await peer.head()
        await peer.send(SWITCH)
        await peer.until_closed()

    async with ScriptedOrigin(answers(OK, close=True), switched) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        await until(lambda: pool.open == 0 or pool.idle == 1)
        answer, connection = await pool.switch(ASK)
        assert answer.status == 101
        connection.detach().abort()
    assert origin.received[1] == ASK


async def test_a_switch_that_nobody_waits_for_any_more_leaves_no_connection() -> None:
    reached = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.head()
        reached.set()
        await asyncio.sleep(0.05)
        await peer.send(SWITCH)
        await peer.until_closed()

    async with ScriptedOrigin(slow) as origin, pool_to(origin) as pool:
        for seconds in (0.0, 0.049, 0.05, 0.051):
            reached.clear()
            asking = asyncio.create_task(pool.switch(ASK))
            await reached.wait()
            await asyncio.sleep(seconds)
            if asking.done():
                asking.result()[1].detach().abort()
            asking.cancel()
            await asyncio.wait([asking])
            await until(lambda: pool.open == 0)


async def test_no_answer_to_a_switch_in_time_ends_the_connection() -> None:
    async with ScriptedOrigin(silent) as origin, pool_to(origin) as pool:
        with pytest.raises(ResponseTimeout):
            await pool.switch(ASK, response_timeout=0.05)
        await until(lambda: pool.open == 0)
