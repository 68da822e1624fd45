"""Metadata and keys that can't be had, at a gateway that is a process: the rows of `docs/outages.md`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.issuer_process import JWKS, METADATA, IssuerProcess
from tests.outages.page import Row, table
from tests.outages.setting import FAST, Setting, ground

AT_FIRST = "Before the first keys"
LATER = "While keys are held"
STORED = "any of these, and `keys.store` has the keys of an earlier run"
TOO_OLD = "any of these, until the keys are older than `keys.max_stale`"

Change = Callable[[IssuerProcess], None]


def page(path: str, **page: Any) -> Change:
    """Answers in this way instead."""
    return lambda issuer: issuer.breaks(path, **page)


def redirect(path: str) -> Change:
    return lambda issuer: issuer.redirects(path)


FAULTS: dict[str, tuple[list[Change], Change]] = {
    "metadata: connection refused": ([IssuerProcess.kill], IssuerProcess.start),
    "metadata: no answer within `keys.timeout`": ([IssuerProcess.freeze], IssuerProcess.thaw),
    "metadata: 500 or a redirect": ([page(METADATA, status=500), redirect(METADATA)], IssuerProcess.mend),
    "metadata: another issuer's": (
        [page(METADATA, members={"issuer": "https://other.example"})],
        IssuerProcess.mend,
    ),
    "metadata: over 1 MiB": ([page(METADATA, padding=2**20)], IssuerProcess.mend),
    "keys: connection refused": (
        [page(METADATA, members={"jwks_uri": "http://127.0.0.1:1/jwks"})],
        IssuerProcess.mend,
    ),
    "keys: no answer within `keys.timeout`": ([page(JWKS, delay=30)], IssuerProcess.mend),
    "keys: 500 or a redirect": ([page(JWKS, status=500), redirect(JWKS)], IssuerProcess.mend),
    "keys: no JWK Set": ([page(JWKS, body="<html>"), page(JWKS, body="{}")], IssuerProcess.mend),
    "keys: none that can be used": ([page(JWKS, body='{"keys": []}')], IssuerProcess.mend),
    "keys: over 1 MiB": ([page(JWKS, padding=2**20)], IssuerProcess.mend),
}
"""The ways in which each row breaks them, and how that ends."""


def test_these_are_the_rows_of_the_page() -> None:
    assert [*FAULTS, STORED] == list(table(AT_FIRST))
    assert [*FAULTS, TOO_OLD] == list(table(LATER))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_503_until_keys_are_there_and_harms_no_token_from_then_on(name: str, tmp_path: Path) -> None:
    ways, mends = FAULTS[name]
    with ground(tmp_path) as g:
        ways[0](g.keys)
        with g.gateway(introspection="2s", longest=2) as s:
            each_is_as_told(s, ways, table(AT_FIRST)[name])
            mends(s.keys)
            s.get_known()
            each_is_as_told(s, ways, table(LATER)[name])
            mends(s.keys)
            fetched = s.gateway.figure("gateway_jwks_refresh_total", issuer="corp", result="ok")
            s.until_counted("gateway_jwks_refresh_total", fetched + 1, issuer="corp", result="ok")
            s.until_well()


def each_is_as_told(s: Setting, ways: list[Change], row: Row) -> None:
    """Break it in each way; once fetches have failed for that, requests, metric and log are as the page says."""
    result = row["result"].strip("`")
    for breaks in ways:
        breaks(s.keys)
        counted = s.gateway.figure("gateway_jwks_refresh_total", issuer="corp", result=result)
        # One that was under way may still end as the way before.
        s.until_counted("gateway_jwks_refresh_total", counted + len(ways), issuer="corp", result=result)
        s.check(row)
    assert f"keys of issuer corp can't be fetched: {result}: " in s.gateway.log


def test_stored_keys_serve_while_the_issuer_is_down_at_the_start(tmp_path: Path) -> None:
    stored = {**FAST, "store": str(tmp_path / "store")}
    with ground(tmp_path) as g:
        with g.gateway(keys_block=stored, longest=3) as s:
            s.get_known()
        g.keys.kill()
        with g.gateway(keys_block=stored, longest=3) as s:
            s.check(table(AT_FIRST)[STORED])
            g.keys.start()
            s.until_well()


def test_keys_that_nobody_has_vouched_for_in_too_long_are_no_keys(tmp_path: Path) -> None:
    with ground(tmp_path) as g, g.gateway(keys_block={**FAST, "max_stale": "2s"}, longest=3) as s:
        s.get_known()
        s.keys.kill()
        s.until_counted("gateway_jwks_age_seconds", 2.1, issuer="corp")
        s.check(table(LATER)[TOO_OLD])
        s.keys.start()
        s.until_well()
