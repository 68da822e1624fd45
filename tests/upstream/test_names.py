"""Host names that stand for several machines, and for other ones later."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from gateway.upstream.names import Lookup, Place, follow, places, system_lookup
from tests.http.origin import until


def _lines(file: Path) -> list[list[str]]:
    return [line.split() for line in file.read_text().splitlines()]


def lookup_in(file: Path) -> Lookup:
    """Looks names up in a file of lines such as `10.0.0.1 orders`."""

    async def lookup(host: str, port: int) -> list[str]:
        found = [address for address, name in _lines(file) if name == host]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    return lookup


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["10.0.0.2", "10.0.0.1"], (("10.0.0.1",), ("10.0.0.2",))),
        (["10.0.0.1", "10.0.0.1"], (("10.0.0.1",),)),
        (["::1", "127.0.0.1"], (("::1", "127.0.0.1"),)),
        (["127.0.0.1", "::1"], (("127.0.0.1", "::1"),)),
        (["fd::1", "fd::2", "10.0.0.1", "10.0.0.2"], (("fd::1", "10.0.0.1"), ("fd::2", "10.0.0.2"))),
        (["fd::1", "10.0.0.1", "10.0.0.2"], (("10.0.0.1", "fd::1"), ("10.0.0.2", "fd::1"))),
        ([], ()),
    ],
)
def test_each_machine_is_one_place_with_both_its_families(
    addresses: list[str], expected: tuple[tuple[str, ...], ...]
) -> None:
    assert places(addresses) == expected
    assert places(addresses * 2) == expected


async def test_a_name_is_followed_and_told_of_only_when_it_changes(tmp_path: Path) -> None:
    file, told = tmp_path / "hosts", list[tuple[Place, ...]]()
    looked = 0

    async def lookup(host: str, port: int) -> list[str]:
        nonlocal looked
        looked += 1
        return list(await lookup_in(file)(host, port))

    file.write_text("10.0.0.1 orders\n10.0.0.9 other\n")
    task = asyncio.create_task(follow("orders", 80, told.append, lookup=lookup, every=0.01))
    await until(lambda: looked > 3)
    file.write_text("10.0.0.2 orders\n10.0.0.1 orders\n")
    await until(lambda: len(told) == 2)
    file.write_text("10.0.0.1 orders\n10.0.0.2 orders\n")  # only the order
    seen = looked
    await until(lambda: looked > seen + 3)
    task.cancel()
    assert told == [(("10.0.0.1",),), (("10.0.0.1",), ("10.0.0.2",))]


async def test_an_outage_of_dns_changes_nothing_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, told = tmp_path / "hosts", list[tuple[Place, ...]]()
    file.write_text("10.0.0.1 orders\n")
    caplog.set_level(logging.WARNING)
    task = asyncio.create_task(follow("orders", 80, told.append, lookup=lookup_in(file), every=0.01))
    await until(lambda: len(told) == 1)
    file.write_text("")
    await until(lambda: len(caplog.records) == 1)
    await asyncio.sleep(0.1)
    file.unlink()  # the resolver itself fails
    await asyncio.sleep(0.05)
    file.write_text("10.0.0.3 orders\n")
    await until(lambda: len(told) == 2)
    task.cancel()
    assert told[-1] == (("10.0.0.3",),)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "orders can't be looked up" in caplog.text


async def test_the_system_knows_this_machine_and_no_invalid_name() -> None:
    assert "127.0.0.1" in await system_lookup("localhost", 80)
    with pytest.raises(OSError, match=r"."):
        await system_lookup("name.invalid", 80)
    told: list[tuple[Place, ...]] = []
    task = asyncio.create_task(follow("a" * 300, 80, told.append, every=0.01))
    await asyncio.sleep(0.1)
    assert not task.done()
    task.cancel()
    assert not told
