"""The workers that serve together, as far as one of them has to know: how much is its share, and what counts once."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.cache.seen_once import Ledger


@dataclass(frozen=True, slots=True)
class Crew:
    """`size` workers in all, this one included. In `ledger` they write what may count only once; None: there is one."""

    size: int = 1
    ledger: Ledger | None = None

    def share(self, total: int) -> int:
        """This worker's part of something, at least 1."""
        return -(-total // self.size)


ALONE = Crew()
"""Of one process that serves by itself."""
