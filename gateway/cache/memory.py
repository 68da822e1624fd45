"""A cache in this process's memory, bounded by entries and by bytes; the least recently used entries go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """At most `entries` entries that weigh at most `weight` bytes together. Every operation takes constant time."""

    __slots__ = ("_entries", "_max_entries", "_max_weight", "weight")

    def __init__(self, *, entries: int, weight: int) -> None:
        self._max_entries = entries
        self._max_weight = weight
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.weight = 0
        """What the entries weigh together."""

    def get(self, key: K) -> V | None:
        """The value, which is now the most recently used one; None when there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, *, weight: int = 1) -> None:
        """Keep a value; what is heavier than the whole cache is not kept."""
        self.discard(key)
        if weight > self._max_weight:
            return
        self._entries[key] = (value, weight)
        self.weight += weight
        while len(self._entries) > self._max_entries or self.weight > self._max_weight:
            _, (_, lost) = self._entries.popitem(last=False)
            self.weight -= lost

    def discard(self, key: K) -> None:
        """Forget a value, if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.weight -= entry[1]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.weight = 0

    def items(self) -> Iterator[tuple[K, V]]:
        """Everything, the least recently used first; nothing is counted as used."""
        for key, (value, _) in self._entries.items():
            yield key, value

    def __len__(self) -> int:
        return len(self._entries)
