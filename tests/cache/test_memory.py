"""The bounded cache: by entries, by weight, least recently used first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.memory import BoundedCache


def test_the_least_recently_used_entry_goes_first() -> None:
    cache = BoundedCache[str, int](entries=2, weight=100)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_heavy_entries_push_out_others_and_the_heaviest_are_not_kept() -> None:
    cache = BoundedCache[str, int](entries=10, weight=10)
    cache.put("a", 1, weight=6)
    cache.put("b", 2, weight=6)
    assert (cache.get("a"), cache.get("b"), cache.weight) == (None, 2, 6)
    cache.put("b", 3, weight=11)
    assert (cache.get("b"), cache.weight, len(cache)) == (None, 0, 0)


def test_clearing_and_discarding_forget() -> None:
    cache = BoundedCache[str, int](entries=10, weight=10)
    cache.put("a", 1, weight=2)
    cache.discard("a")
    cache.discard("never there")
    cache.put("b", 1, weight=2)
    cache.clear()
    assert (len(cache), cache.weight) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=60))
def test_the_bounds_hold_whatever_is_put(puts: list[tuple[int, int]]) -> None:
    cache = BoundedCache[int, int](entries=4, weight=20)
    for key, weight in puts:
        cache.put(key, weight, weight=weight)
        assert len(cache) <= 4
        assert cache.weight == sum(value for key in range(10) if (value := cache.get(key)) is not None) <= 20


def test_looking_at_all_uses_none_of_them() -> None:
    cache = BoundedCache[str, int](entries=2, weight=10)
    cache.put("a", 1)
    cache.put("b", 2)
    assert list(cache.items()) == [("a", 1), ("b", 2)]
    cache.put("c", 3)
    assert list(cache.items()) == [("b", 2), ("c", 3)]
