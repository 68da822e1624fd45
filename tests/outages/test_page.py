"""`docs/outages.md` as it is read: every table is one that tests go by, and what it names is there."""

from __future__ import annotations

import re

import pytest

from gateway.admin.metrics import Metrics
from gateway.cache.redis import SharedStore
from gateway.config.issuers import Introspection, Keys
from gateway.config.model import Redis
from tests.outages import test_introspection, test_keys, test_redis
from tests.outages.page import PAGE, Outcome, outcome, tables

TEXT = PAGE.read_text(encoding="utf-8")
TESTED = {test_keys.AT_FIRST, test_keys.LATER, test_introspection.HEADING, *test_redis.HEADINGS}
REQUESTS = re.compile(r"(JWT|token)\b")


def test_every_table_about_requests_is_tested() -> None:
    assert set(tables(TEXT)) == TESTED | {"What to watch"}


@pytest.mark.parametrize("heading", sorted(TESTED))
def test_every_cell_about_requests_is_checked(heading: str) -> None:
    for name, row in tables(TEXT)[heading].items():
        asked = [column for column in row if REQUESTS.search(column)]
        assert set(row) - set(asked) == {"`/readyz`", "result"}, name
        for column in asked:
            assert outcome(row[column]).status in (200, 401, 503)


def test_the_metrics_that_it_names_are_there() -> None:
    named = set(re.findall(r"`(gateway_\w+)", TEXT))
    metrics = Metrics()
    redis = SharedStore("redis://127.0.0.1:1/0", prefix="test:", timeout=1)
    metrics.watch(requests_in_flight=int, connections=int, key_sources=(), caches={}, revocations=int, redis=redis)
    known = set(re.findall(r"^# HELP (\w+) ", metrics.render().decode(), re.MULTILINE))
    assert named
    assert named <= known


def test_the_times_that_it_names_are_the_defaults() -> None:
    blocks = {"keys": Keys, "introspection": Introspection, "redis": Redis}
    named = re.findall(r"`(keys|introspection|redis)\.(\w+)` \((\d+) (m?s)\)", TEXT)
    assert len(named) >= 2
    for block, key, number, unit in named:
        seconds = int(number) / (1000 if unit == "ms" else 1)
        assert blocks[block].model_fields[key].default == seconds, key


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("200", Outcome(200)),
        ("401 `key_unknown`", Outcome(401, "key_unknown")),
        ("503, again in 5 s", Outcome(503, "issuer_unavailable", (5, 5))),
        ("503, again in 1-10 s", Outcome(503, "issuer_unavailable", (1, 10))),
    ],
)
def test_a_cell_is_read(cell: str, expected: Outcome) -> None:
    assert outcome(cell) == expected


@pytest.mark.parametrize("cell", ["", "503", "401", "200, again in 5 s", "200 or 503", "503 `upstream_unavailable`"])
def test_a_cell_that_says_too_little_is_refused(cell: str) -> None:
    with pytest.raises(AssertionError):
        outcome(cell)


def test_tables_are_read_by_their_headings_and_rows_must_differ() -> None:
    page = "# A\n\ntext\n\n| x | y |\n|---|---|\n| a | 1 |\n| b | 2 |\n\n## B\n\nno table\n"
    assert tables(page) == {"A": {"a": {"y": "1"}, "b": {"y": "2"}}}
    with pytest.raises(AssertionError):
        tables(page.replace("| b |", "| a |"))
