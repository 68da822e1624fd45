"""Sockets that listen, over real connections: who gets them, what taken addresses say, and how they are closed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.process.listening import Acceptor, Place, bind, turn_away
from tests.services import free_port

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel has to spread connections, or to drop them")


@contextlib.contextmanager
def bound(*addresses: str, slots: int = 1) -> Iterator[list[Place]]:
    places = bind(addresses, slots)
    try:
        yield places
    finally:
        for place in places:
            place.close()
            place.remove()


def connect(place: Place, timeout: float = 10) -> socket.socket:
    if place.address.startswith("unix:"):
        with contextlib.ExitStack() as undo:
            client = undo.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(timeout)
            client.connect(place.address.removeprefix("unix:"))
            undo.pop_all()
        return client
    host, _, port = place.address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


def waiting(places: Sequence[Place]) -> list[int]:
    """How many connections wait at the socket of each slot of the first place; they are closed."""
    counts = []
    for each in places[0].sockets:
        counts.append(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                each.accept()[0].close()
                counts[-1] += 1
    return counts


class Greeting(asyncio.Protocol):
    """Says the name of its server."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self.name)
        transport.close()


def acceptor(name: bytes = b"a") -> Acceptor:
    return Acceptor(lambda: Greeting(name))


async def greeted(client: socket.socket) -> bytes:
    with client:
        client.setblocking(False)
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recv(client, 10)


# --- binding -----------------------------------------------------------------------------------------------------


def test_port_0_becomes_a_port_that_clients_can_use() -> None:
    with bound("127.0.0.1:0", "[::1]:0") as places:
        assert places[0].address.startswith("127.0.0.1:")
        assert places[1].address.startswith("[::1]:")
        for place in places:
            assert not place.address.endswith(":0")
            connect(place).close()


def test_no_host_is_every_address_of_both_families() -> None:
    with bound(":0") as places:
        assert {place.sockets[0].family for place in places} == {socket.AF_INET, socket.AF_INET6}


@LINUX
def test_connections_are_spread_over_the_slots() -> None:
    with bound("127.0.0.1:0", slots=3) as places:
        assert len({each.getsockname() for each in places[0].sockets}) == 1
        clients = [connect(places[0]) for _ in range(120)]
        counts = waiting(places)
        for client in clients:
            client.close()
        assert sum(counts) == 120
        assert min(counts) > 10


def test_a_unix_socket_is_one_for_all_slots_and_its_file_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bound(f"unix:{path}", slots=3) as places:
        assert len(places[0].sockets) == 1
        assert places[0].of(0) is places[0].of(2)
        connect(places[0]).close()
    assert not path.exists()


def test_a_file_that_another_program_has_put_there_since_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bound(f"unix:{path}"):
        path.rename(tmp_path / "old")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.exists()


def test_a_socket_file_without_a_listener_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with bound(f"unix:{path}") as places:
        connect(places[0]).close()


@pytest.mark.parametrize("slots", [1, 2])
def test_a_taken_address_is_named_and_nothing_stays_open(tmp_path: Path, slots: int) -> None:
    free = f"127.0.0.1:{free_port()}"
    for taken in ("127.0.0.1:0", f"unix:{tmp_path}/s"):
        for theirs in (1, 2):
            with bound(taken, slots=theirs) as places:
                address = places[0].address
                with pytest.raises(OSError, match="another program listens there") as refused:
                    bind([free, address], slots)
                assert refused.value.errno == errno.EADDRINUSE
                assert address in str(refused.value)
    with bound(free, slots=slots):
        pass


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("192.0.2.1:80", "192.0.2.1:80: Cannot assign requested address"),
        ("no-such-host.invalid:80", "no-such-host.invalid:80: "),
        ("unix:/no-such-folder/s", "unix:/no-such-folder/s: No such file or directory"),
    ],
)
def test_an_address_that_can_not_be_had_is_named(address: str, problem: str) -> None:
    with pytest.raises(OSError, match=re.escape(problem)):
        bind([address])


def test_a_file_that_is_no_socket_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(OSError, match="another program"):
        bind([f"unix:{path}"])
    assert path.read_text() == "precious"


# --- accepting ---------------------------------------------------------------------------------------------------


async def test_whoever_accepts_may_come_and_go_and_nobody_is_refused(tmp_path: Path) -> None:
    with bound("127.0.0.1:0", f"unix:{tmp_path}/s") as places:
        for place in places:
            early = connect(place)
            first, second = acceptor(b"first"), acceptor(b"second")
            await first.accept_on(place.sockets)
            assert await greeted(early) == b"first"
            await first.accept_on(place.sockets)
            assert await greeted(connect(place)) == b"first"
            await first.accept_on(())
            between = connect(place)
            await asyncio.sleep(0.05)
            await second.accept_on(place.sockets)
            assert await greeted(between) == b"second"
            assert await greeted(connect(place)) == b"second"
            await second.accept_on(())


@LINUX
async def test_what_was_in_the_queue_at_the_end_is_served_and_the_rest_refused(tmp_path: Path) -> None:
    with bound("127.0.0.1:0", f"unix:{tmp_path}/s") as places:
        last = acceptor()
        clients = [connect(place) for place in places for _ in range(20)]
        await turn_away(places)
        late = asyncio.create_task(asyncio.to_thread(connect, places[0]))
        await asyncio.sleep(0.2)
        with pytest.raises(OSError, match="No such file"):
            connect(places[1])
        await last.finish([place.of(0) for place in places])
        assert [await greeted(client) for client in clients] == [b"a"] * 40
        with pytest.raises(ConnectionRefusedError):
            await late


async def test_a_client_that_has_gone_is_no_reason_to_stop_taking_others() -> None:
    with bound("127.0.0.1:0") as places:
        for number in range(10):
            client = connect(places[0])
            if number % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        stays = connect(places[0])
        await acceptor().finish(places[0].sockets)
        assert await greeted(stays) == b"a"
