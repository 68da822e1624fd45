"""The addresses behind a host name, looked up again and again: names of clusters change without a word.

The lookup is an argument, for DNS gives neither a signal nor, through the system's resolver, a time to live.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between lookups of a name."""

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""The IP addresses of a host, best first. Raises OSError where there are none."""

Place = tuple[str, ...]
"""The addresses of one machine: of those of one family the one, then another family's, in case that one is cut off."""


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(endpoint[0]) for *_, endpoint in found))


def places(addresses: Iterable[str]) -> tuple[Place, ...]:
    """One place for each address of the family that has more of them, or comes first; the other one stands by.

    A machine with IPv4 and IPv6 must not become two endpoints: one of them could be dead for good (RFC 8305). In
    order of the addresses, for a resolver may give them in another one each time.
    """
    families: dict[bool, list[str]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(":" in address, []).append(address)
    if not families:
        return ()
    ordered = sorted(families.values(), key=len, reverse=True)
    first, others = sorted(ordered[0]), sorted(ordered[1]) if len(ordered) > 1 else []
    return tuple(
        (address, *others[index % len(others) : index % len(others) + 1]) if others else (address,)
        for index, address in enumerate(first)
    )


async def follow(
    host: str,
    port: int,
    tell: Callable[[tuple[Place, ...]], None],
    *,
    lookup: Lookup = system_lookup,
    every: float = LOOK_EVERY,
) -> None:
    """Look the name up at once and at each interval, until cancelled; `tell` what has changed.

    A failed lookup changes nothing: an outage of DNS must not become one of ours.
    """
    known: tuple[Place, ...] = ()
    was_found = True
    while True:
        try:
            found = places(await lookup(host, port))
        except (OSError, ValueError) as problem:  # ValueError: no name at all (IDNA)
            found = ()
            if was_found:
                logger.warning("%s can't be looked up, its last addresses go on: %s", host, problem)
        was_found = bool(found)
        if found and found != known:
            known = found
            tell(found)
        await asyncio.sleep(every)
