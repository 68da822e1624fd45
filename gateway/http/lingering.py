"""How long a client that has had its answer may go on sending, so that it sees the answer and not a reset
(RFC 9112 §9.6).
"""

from __future__ import annotations

from typing import Final

SIZE: Final = 1024 * 1024
"""How many bytes that nobody wants are read at most."""

_SECONDS: Final = 2.0


class Lingering:
    """The end of a connection, or of a body that nobody reads. `since` is when it began, by the event loop's clock."""

    __slots__ = ("_dropped", "since")

    def __init__(self) -> None:
        self._dropped = 0
        self.since: float | None = None

    def drop(self, size: int) -> bool:
        """Count what was read for nothing. Whether that is enough."""
        self._dropped += size
        return self._dropped > SIZE

    def is_too_long(self, now: float, *, is_sent: bool, patience: float) -> bool:
        """Whether to cut it off; `patience` is in seconds, for a client that has not even taken all of its answer."""
        return self.since is not None and now - self.since > (_SECONDS if is_sent else patience)
