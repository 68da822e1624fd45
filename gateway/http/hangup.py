"""Whether a peer has ended its side of a connection that is not being read (poll(2), POLLRDHUP).

An event loop learns of an end by reading, and back-pressure is not to read: without this, somebody who uploads and goes
away would be noticed only when the upstream takes what is still here, which may be never.
"""

from __future__ import annotations

import asyncio
import select
from typing import Final

_ENDED: Final = getattr(select, "POLLRDHUP", 0)
"""Linux has it; elsewhere nothing is known before it is read."""


def has_hung_up(transport: asyncio.BaseTransport) -> bool:
    """Whether the other side has closed its end, also when there is still something to be read from it."""
    connection = transport.get_extra_info("socket")
    if not _ENDED or connection is None or connection.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), _ENDED)
    return bool(poll.poll(0))
