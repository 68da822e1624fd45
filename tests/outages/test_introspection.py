"""Introspection that fails in every way, at a gateway that is a process: the rows of `docs/outages.md`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.issuer_process import INTROSPECT, IssuerProcess
from tests.outages.page import table
from tests.outages.setting import Setting, ground

HEADING = "Introspection"
AGAIN_AND_AGAIN = "any of these, five times in a row"

Change = Callable[[IssuerProcess], None]


def page(**page: Any) -> Change:
    """Answers in this way instead."""
    return lambda issuer: issuer.breaks(INTROSPECT, **page)


def redirect(issuer: IssuerProcess) -> None:
    issuer.redirects(INTROSPECT)


FAULTS: dict[str, list[tuple[Change, Change]]] = {
    "connection refused": [(IssuerProcess.kill, IssuerProcess.start)],
    "no answer within `timeout`": [(IssuerProcess.freeze, IssuerProcess.thaw)],
    "401 or 403: our credentials are wrong": [(page(status=status), IssuerProcess.mend) for status in (401, 403)],
    "500, 429, 400 or a redirect": [
        *((page(status=status), IssuerProcess.mend) for status in (500, 429, 400)),
        (redirect, IssuerProcess.mend),
    ],
    "no JSON": [(page(body="<html>"), IssuerProcess.mend)],
    'no answer to the question: `active: "true"`': [
        (page(body=json.dumps({"active": active, "sub": "u1"})), IssuerProcess.mend) for active in ("true", 1, None)
    ],
    "over 1 MiB": [(page(padding=2**20), IssuerProcess.mend)],
}
"""The ways in which each row breaks it, and how that ends."""


def test_these_are_the_rows_of_the_page() -> None:
    assert [*FAULTS, AGAIN_AND_AGAIN] == list(table(HEADING))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_503_for_what_is_not_known_and_ends_with_the_next_good_answer(name: str, tmp_path: Path) -> None:
    row = table(HEADING)[name]
    with ground(tmp_path) as g, g.gateway(introspection="1s", longest=1) as s:
        s.get_known()
        for breaks, mends in FAULTS[name]:
            breaks(s.introspector)
            s.check(row)
            is_told(s, row["result"].strip("`"))
            mends(s.introspector)
            s.until_well()


def test_after_five_failures_the_issuer_is_given_a_pause(tmp_path: Path) -> None:
    row = table(HEADING)[AGAIN_AND_AGAIN]
    with ground(tmp_path) as g, g.gateway(introspection="1s", longest=1) as s:
        s.get_known()
        s.introspector.breaks(INTROSPECT, status=500)
        for _ in range(50):
            before = s.introspector.asked()
            s.check_answer("new opaque token", ("/orders", s.introspector.opaque()), row["new opaque token"])
            assert s.introspector.asked() <= before + 1
        counted = {
            result: s.gateway.figure("gateway_introspection_total", issuer="corp", result=result)
            for result in ("status", "circuit_open")
        }
        assert counted["status"] >= 5
        assert counted["circuit_open"] >= 25
        s.check(row)
        s.introspector.mend()
        s.until_well()


def is_told(s: Setting, result: str) -> None:
    """The metric counts it under the word of the page, and the log has it."""
    s.until_counted("gateway_introspection_total", issuer="corp", result=result)
    assert f"introspection at issuer corp fails: {result}: " in s.gateway.log
