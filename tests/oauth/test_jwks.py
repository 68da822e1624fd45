"""How an issuer's keys are found and kept fresh, against a real server that can fail in every way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.oauth.client import IssuerClient
from gateway.oauth.jwks import RefreshRules, RemoteKeys
from gateway.oauth.key_source import FileKeys
from gateway.oauth.key_store import FolderKeyStore
from tests.http.origin import until
from tests.issuer import FakeIssuer
from tests.oauth.test_keys import other_rsa_jwk
from tests.world import public_jwks


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class SteppedKeys(RemoteKeys):
    """Keys whose background task pauses until the test sets `resume`; `pauses` are the seconds it asked for."""

    def __init__(self, issuer: str, clock: Clock, client: IssuerClient, **options: Any) -> None:
        self.pauses: list[float] = []
        self.resume = asyncio.Event()
        super().__init__("corp", issuer, client, clock=clock, sleep=self._wait, **options)

    async def _wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self.resume.wait()
        self.resume.clear()


@contextlib.asynccontextmanager
async def keys_of(
    issuer: FakeIssuer, clock: Clock | None = None, client: IssuerClient | None = None, **options: Any
) -> AsyncIterator[SteppedKeys]:
    """Started keys of this issuer."""
    keys = SteppedKeys(issuer.issuer, clock or Clock(), client or IssuerClient(timeout=5), **options)
    await keys.start()
    try:
        yield keys
    finally:
        await keys.close()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("status", "status"),
        ("redirect", "status"),
        ("huge", "too_large"),
        ("garbage", "malformed"),
        ("duplicate", "malformed"),
        ("no keys", "malformed"),
        ("empty", "empty"),
        ("packed", "malformed"),
        ("bomb", "malformed"),
        ("endless", "too_large"),
        ("drop", "unreachable"),
        ("hang", "timeout"),
    ],
)
async def test_a_fetch_that_fails_keeps_the_last_good_keys(fault: str, kind: str) -> None:
    # Long enough for a busy machine; only a hanging issuer uses it up.
    client = IssuerClient(timeout=1.5 if fault == "hang" else 5)
    async with FakeIssuer() as issuer, keys_of(issuer, client=client) as keys:
        await keys.first()
        good = keys.current(1_700_000_000.0)
        assert good is not None
        issuer.fault = fault
        keys.resume.set()
        await until(lambda: keys.results[kind] == 1)
        assert keys.current(1_700_000_000.0) is good
        assert "/elsewhere" not in issuer.requests
        issuer.fault = None
        keys.resume.set()
        await until(lambda: keys.results["ok"] == 2)
        assert keys.current(1_700_000_000.0) is good


@pytest.mark.parametrize("fault", ["status", "empty", "hang", "drop"])
async def test_without_any_good_fetch_there_are_no_keys(fault: str) -> None:
    async with FakeIssuer() as issuer:
        issuer.fault = fault
        async with keys_of(issuer, client=IssuerClient(timeout=0.3 if fault == "hang" else 5)) as keys:
            await keys.first()
            assert keys.current(1_700_000_000.0) is None
            assert keys.fetched_at is None


async def test_keys_nobody_has_vouched_for_in_max_stale_are_no_longer_used() -> None:
    clock = Clock()
    async with FakeIssuer() as issuer, keys_of(issuer, clock, rules=RefreshRules(max_stale=100)) as keys:
        await keys.first()
        assert keys.current(clock.now + 100) is not None
        assert keys.current(clock.now + 101) is None


async def test_an_unknown_kid_causes_one_fetch_in_the_cool_down_however_many_ask() -> None:
    clock = Clock()
    async with FakeIssuer() as issuer, keys_of(issuer, clock, rules=RefreshRules(cooldown=30)) as keys:
        await keys.first()
        before = keys.current(clock.now)
        issuer.jwks["keys"].append({**other_rsa_jwk(), "kid": "k2"})
        await asyncio.gather(*(keys.refresh_for_unknown_kid() for _ in range(50)))
        assert issuer.requests["/jwks"] == 2
        after = keys.current(clock.now)
        assert after is not None
        assert after is not before
        assert after.has("k2")
        clock.now += 29.9
        await keys.refresh_for_unknown_kid()
        assert issuer.requests["/jwks"] == 2
        clock.now += 0.1
        await keys.refresh_for_unknown_kid()
        assert issuer.requests["/jwks"] == 3


async def test_a_clock_that_is_set_back_does_not_lengthen_the_cool_down() -> None:
    clock = Clock()
    async with FakeIssuer() as issuer, keys_of(issuer, clock) as keys:
        await keys.first()
        await keys.refresh_for_unknown_kid()
        clock.now -= 3600
        await keys.refresh_for_unknown_kid()
        assert issuer.requests["/jwks"] == 3


async def test_a_failed_fetch_counts_for_the_cool_down_too() -> None:
    clock = Clock()
    async with FakeIssuer() as issuer, keys_of(issuer, clock, rules=RefreshRules(cooldown=30)) as keys:
        await keys.first()
        issuer.fault = "status"
        clock.now += 30
        for _ in range(5):
            await keys.refresh_for_unknown_kid()
        assert issuer.requests["/jwks"] == 2


async def test_a_caller_that_goes_away_harms_nobody_who_waits_for_the_same_fetch() -> None:
    clock = Clock()
    async with FakeIssuer() as issuer, keys_of(issuer, clock, rules=RefreshRules(cooldown=0)) as keys:
        await keys.first()
        issuer.jwks = {"keys": [{**other_rsa_jwk(), "kid": "k2"}]}
        first = asyncio.create_task(keys.refresh_for_unknown_kid())
        second = asyncio.create_task(keys.refresh_for_unknown_kid())
        await asyncio.sleep(0)
        first.cancel()
        await second
        current = keys.current(clock.now)
        assert current is not None
        assert current.candidates("k2", "RS256")


async def test_an_identical_set_is_the_same_object_and_a_withdrawn_key_is_gone() -> None:
    async with FakeIssuer() as issuer, keys_of(issuer) as keys:
        await keys.first()
        first = keys.current(1_700_000_000.0)
        keys.resume.set()
        await until(lambda: keys.results["ok"] == 2)
        assert keys.current(1_700_000_000.0) is first
        issuer.jwks = {"keys": [{**other_rsa_jwk(), "kid": "k2"}]}
        keys.resume.set()
        await until(lambda: keys.results["ok"] == 3)
        current = keys.current(1_700_000_000.0)
        assert current is not None
        assert not current.candidates("k1", "RS256")


@pytest.mark.parametrize(
    ("cache_control", "low", "high"),
    [
        ("", 510, 570),
        ("public, max-age=300", 255, 285),
        ("max-age=1", 51, 57),
        ("max-age=9999", 510, 570),
        ("s-maxage=100", 510, 570),
        ("max-age=x", 510, 570),
    ],
)
async def test_the_next_fetch_comes_before_the_keys_are_too_old(cache_control: str, low: float, high: float) -> None:
    async with FakeIssuer() as issuer:
        issuer.headers = {"Cache-Control": cache_control}
        async with keys_of(issuer, rules=RefreshRules(refresh=600)) as keys:
            await until(lambda: len(keys.pauses) == 1)
            assert low <= keys.pauses[0] <= high


async def test_failing_fetches_are_repeated_with_growing_pauses() -> None:
    async with FakeIssuer() as issuer:
        issuer.fault = "status"
        async with keys_of(issuer, rules=RefreshRules(cooldown=6)) as keys:
            for count in range(1, 6):
                await until(lambda: len(keys.pauses) == count)  # noqa: B023 - waited for at once
                keys.resume.set()
            for pause, most in zip(keys.pauses, (1, 2, 4, 6, 6), strict=False):
                assert 0.8 * most <= pause <= most


async def test_stored_keys_serve_a_start_while_the_issuer_is_down(tmp_path: Path) -> None:
    clock, store = Clock(), FolderKeyStore(tmp_path / "keys")
    async with FakeIssuer() as issuer:
        async with keys_of(issuer, clock, store=store) as keys:
            await until(lambda: keys.results["ok"] == 1)
        (file,) = (tmp_path / "keys").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        issuer.fault = "drop"
        async with keys_of(issuer, clock, store=store, rules=RefreshRules(max_stale=50)) as keys:
            assert keys.current(clock.now) is not None
            assert keys.current(clock.now + 51) is None
        other = RemoteKeys("other", "https://other.example", IssuerClient(timeout=1), store=store)
        assert await store.load("https://other.example") is None
        assert other.current(clock.now) is None


async def test_a_key_file_is_read_again_when_it_changes_and_a_broken_one_keeps_the_old(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(public_jwks())
    keys = FileKeys("corp", file)
    first = keys.current(0)
    assert first is not None
    file.write_text("broken")
    await keys.refresh_for_unknown_kid()
    assert keys.current(0) is first
    file.write_text(json.dumps({"keys": [{**other_rsa_jwk(), "kid": "k2"}]}))
    await keys.refresh_for_unknown_kid()
    second = keys.current(0)
    assert second is not None
    assert second.candidates("k2", "RS256")
    swapped = tmp_path / "other.json"
    swapped.write_text(public_jwks())
    swapped.replace(file)
    await keys.refresh_for_unknown_kid()
    third = keys.current(0)
    assert third is not None
    assert third.candidates("k1", "RS256")


def by_file(path: Path) -> FileKeys:
    path.write_text(public_jwks())
    return FileKeys("corp", path)


async def test_a_broken_key_file_is_counted_once_however_many_unknown_keys_are_asked_for(tmp_path: Path) -> None:
    keys = by_file(tmp_path / "jwks.json")
    for content, kind in (("broken", "malformed"), ('{"keys": []}', "empty")):
        (tmp_path / "jwks.json").write_text(content)
        for _ in range(5):
            await keys.refresh_for_unknown_kid()
        assert keys.results[kind] == 1
    (tmp_path / "jwks.json").unlink()
    for _ in range(5):
        await keys.refresh_for_unknown_kid()
    assert keys.results["unreadable"] == 1


async def test_a_key_file_that_was_away_is_read_again_and_its_age_starts_anew(tmp_path: Path) -> None:
    clock, file, aside = Clock(), tmp_path / "jwks.json", tmp_path / "aside"
    file.write_text(public_jwks())
    keys = FileKeys("corp", file, clock=clock)
    clock.now += 100
    await keys.refresh_for_unknown_kid()
    assert keys.fetched_at == clock.now
    assert keys.results["ok"] == 1
    file.rename(aside)
    await keys.refresh_for_unknown_kid()
    aside.rename(file)
    clock.now += 100
    await keys.refresh_for_unknown_kid()
    assert keys.fetched_at == clock.now


@pytest.mark.parametrize(
    "address",
    ["https://[::1", "https://x..y/", f"https://{'a' * 70}.example/", "https://.", "http://127.0.0.1:99999/", "", "x"],
)
async def test_metadata_that_names_no_address_harms_nothing_but_the_one_fetch(address: str) -> None:
    async with FakeIssuer() as issuer:
        issuer.metadata = {"jwks_uri": address}
        async with keys_of(issuer) as keys:
            await keys.first()
            assert keys.current(1_700_000_000.0) is None
            issuer.metadata = {}
            keys.resume.set()
            await until(lambda: keys.results["ok"] == 1)
            assert keys.current(1_700_000_000.0) is not None


async def test_all_documents_of_one_refresh_share_one_time_limit() -> None:
    async with FakeIssuer("/tenant") as issuer:
        issuer.delay = 0.2
        issuer.metadata_at = {"/tenant/.well-known/openid-configuration"}
        async with keys_of(issuer, client=IssuerClient(timeout=0.3)) as keys:
            await keys.first()
            assert keys.results["timeout"] == 1
            assert not issuer.requests["/jwks"]


async def test_slow_documents_do_not_put_off_the_next_refresh() -> None:
    clock = Clock()
    async with FakeIssuer() as issuer:
        issuer.upon_request = lambda: setattr(clock, "now", clock.now + 2)
        async with keys_of(issuer, clock, rules=RefreshRules(refresh=10)) as keys:
            await until(lambda: len(keys.pauses) == 1)
            assert 4.5 <= keys.pauses[0] <= 5.5


async def test_no_settings_make_the_gateway_ask_without_a_pause() -> None:
    for fault in (None, "status"):
        async with FakeIssuer() as issuer:
            issuer.fault = fault
            async with keys_of(issuer, rules=RefreshRules(refresh=0, cooldown=0)) as keys:
                await until(lambda: len(keys.pauses) == 1)
                assert keys.pauses[0] >= 0.5


async def test_an_issuer_that_is_down_at_the_start_is_found_when_it_is_back() -> None:
    issuer = FakeIssuer()
    async with issuer:
        pass
    async with keys_of(issuer) as keys:
        await keys.first()
        assert keys.results["unreachable"] == 1
        assert keys.current(1_700_000_000.0) is None
        async with issuer:
            keys.resume.set()
            await until(lambda: keys.results["ok"] == 1)
            assert keys.current(1_700_000_000.0) is not None


async def test_keys_stored_longer_ago_than_max_stale_make_nobody_ready(tmp_path: Path) -> None:
    clock, store = Clock(), FolderKeyStore(tmp_path)
    async with FakeIssuer() as issuer:
        issuer.fault = "status"
        await store.save(issuer.issuer, json.loads(public_jwks()), clock.now - 51)
        async with keys_of(issuer, clock, store=store, rules=RefreshRules(max_stale=50)) as keys:
            assert keys.fetched_at is None
        await store.save(issuer.issuer, json.loads(public_jwks()), clock.now + 10_000)
        async with keys_of(issuer, clock, store=store, rules=RefreshRules(max_stale=50)) as keys:
            assert keys.current(clock.now + 50) is not None
            assert keys.current(clock.now + 51) is None


class BrokenStore(FolderKeyStore):
    """A defect of ours, to see what it can break."""

    async def save(self, issuer: str, document: dict[str, Any], fetched_at: float) -> None:
        raise RuntimeError


async def test_a_defect_ends_neither_the_refreshing_nor_a_request(tmp_path: Path) -> None:
    async with FakeIssuer() as issuer, keys_of(issuer, store=BrokenStore(tmp_path)) as keys:
        await keys.first()
        await keys.refresh_for_unknown_kid()
        keys.resume.set()
        await until(lambda: keys.results["internal"] == 3)
        assert keys.current(1_700_000_000.0) is not None
