"""What an open connection's token is held to: each change that ends it, and each that must not."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from gateway import errors
from gateway.access.policy import Policy
from gateway.access.revocation import DenyList, Revoker
from gateway.access.rules import Rules
from gateway.access.standing import Standing, Watch
from gateway.errors import GatewayError, Reason
from gateway.http.message import Fields, Request
from gateway.oauth.keys import KeySet
from tests.access.test_verification import GOOD, OTHER, Keys, verifier
from tests.http.websockets import until
from tests.world import mint


@dataclass
class Setting:
    """A watch over connections to one route, with a clock and keys that a test changes."""

    watch: Watch
    policy: Policy
    revoker: Revoker
    keys: Keys
    now: list[float]
    swept: list[int]
    """How many sweeps there were."""
    ends: dict[str, Reason] = field(default_factory=dict)
    """Why each connection was ended, by its name."""

    def open(self, name: str, *headers: tuple[bytes, bytes], **claims: Any) -> Standing:
        """A connection with a good token, unless header fields are given."""
        fields = Fields(headers or [(b"Authorization", f"Bearer {mint(**claims)}".encode())])
        request = Request("GET", f"/{name}", fields)

        def end(error: GatewayError) -> None:
            assert name not in self.ends, "ended twice"
            self.ends[name] = error.reason

        return self.watch.begin(self.policy, request, {}, end)

    async def sweeps(self, count: int = 10) -> None:
        """Let so many sweeps pass."""
        enough = self.swept[0] + count
        await until(lambda: self.swept[0] >= enough)

    async def ended(self, name: str) -> Reason:
        await until(lambda: name in self.ends)
        return self.ends[name]


@contextlib.asynccontextmanager
async def setting(*, fresh: KeySet | None = None, **policy: Any) -> AsyncIterator[Setting]:
    now, swept, keys, deny_list = [time.time()], [0], Keys(GOOD, fresh), DenyList()

    async def soon(seconds: float) -> None:
        """Sweeps without their pauses."""
        swept[0] += seconds > 0
        await asyncio.sleep(0 if seconds == 0 else 0.001)

    watch = Watch(clock=lambda: now[0], sleep=soon)
    whole = Policy(verifier(keys, now=now), deny_list, **{"rules": Rules(), **policy})
    try:
        yield Setting(watch, whole, Revoker(deny_list, {"corp": 0.0}), keys, now, swept)
    finally:
        await watch.close()


async def test_a_token_that_expires_ends_its_connection_and_no_other() -> None:
    async with setting() as s:
        s.open("short", exp=int(s.now[0]) + 10)
        s.open("long", exp=int(s.now[0]) + 1000)
        await s.sweeps()
        assert s.ends == {}
        s.now[0] += 60  # leeway included
        assert await s.ended("short") is errors.TOKEN_EXPIRED
        await s.sweeps()
        assert list(s.ends) == ["short"]


async def test_a_revocation_ends_the_connections_it_names() -> None:
    async with setting() as s:
        s.open("u1", sub="u1")
        s.open("u2", sub="u2")
        await s.sweeps()
        await s.revoker.revoke("corp", "sub", "u1")
        assert await s.ended("u1") is errors.TOKEN_REVOKED
        await s.sweeps()
        assert list(s.ends) == ["u1"]


async def test_what_is_revoked_before_the_first_sweep_is_noticed_too() -> None:
    async with setting() as s:
        await s.revoker.revoke("corp", "sub", "u1")
        s.open("u1", sub="u1")
        assert await s.ended("u1") is errors.TOKEN_REVOKED


async def test_a_key_that_the_issuer_withdrew_ends_the_connections_of_its_tokens() -> None:
    async with setting() as s:
        s.open("u1")
        await s.sweeps()
        s.keys.keys = OTHER
        assert await s.ended("u1") is errors.KEY_UNKNOWN


async def test_new_keys_beside_the_old_ones_end_nothing() -> None:
    async with setting() as s:
        s.open("u1")
        await s.sweeps()
        s.keys.keys = KeySet((*GOOD.keys, *OTHER.keys), "both")
        await s.sweeps()
        assert s.ends == {}


async def test_what_nobody_can_tell_goes_on_for_half_a_minute() -> None:
    async with setting() as s:
        s.open("u1", exp=int(s.now[0]) + 1000)
        await s.sweeps()
        s.keys.keys = None
        await s.sweeps()
        s.now[0] += 29
        await s.sweeps()
        assert s.ends == {}
        s.now[0] += 2
        assert await s.ended("u1") is errors.ISSUER_UNAVAILABLE


async def test_an_outage_that_heals_is_forgotten() -> None:
    async with setting() as s:
        s.open("u1", exp=int(s.now[0]) + 1000)
        await s.sweeps()
        for _ in range(3):
            s.keys.keys = None
            await s.sweeps()
            s.now[0] += 20
            await s.sweeps()
            s.keys.keys = GOOD
            s.now[0] += 3
            await s.sweeps()
        assert s.ends == {}


async def test_a_deny_list_that_may_lack_entries_is_an_outage() -> None:
    async with setting() as s:
        s.open("u1", exp=int(s.now[0]) + 1000)
        await s.sweeps()
        s.policy.deny_list.is_current = lambda: False
        await s.sweeps()
        assert s.ends == {}
        s.now[0] += 31
        assert await s.ended("u1") is errors.ISSUER_UNAVAILABLE


async def test_an_outage_does_not_lengthen_a_tokens_life() -> None:
    async with setting() as s:
        s.open("u1", exp=int(s.now[0]) + 5)
        await s.sweeps()
        s.keys.keys = None
        s.now[0] += 40
        assert await s.ended("u1") is errors.TOKEN_EXPIRED


async def test_a_fault_of_ours_lets_nobody_go_on() -> None:
    class Broken(Keys):
        def current(self, now: float) -> KeySet | None:
            if self.keys is None:
                raise RuntimeError("a defect")
            return self.keys

    async with setting() as s:
        broken = Broken(GOOD)
        s.policy = dataclasses.replace(s.policy, verifier=verifier(broken, now=s.now))
        s.open("known")
        await s.sweeps()
        broken.keys = None
        assert await s.ended("known") is errors.INTERNAL
        s.open("new")
        assert await s.ended("new") is errors.INTERNAL


async def test_where_nothing_can_change_nothing_is_watched() -> None:
    async with setting(is_public=True) as s:
        s.open("public")
        assert len(s.watch) == 0
    async with setting(is_enforced=False) as s:
        s.open("in shadow")
        assert len(s.watch) == 0
    async with setting(is_token_optional=True) as s:
        s.open("anonymous", (b"Host", b"a"))
        assert len(s.watch) == 0
        assert len(asyncio.all_tasks()) == 1


async def test_a_connection_that_has_ended_is_not_watched_and_the_last_one_ends_the_sweep() -> None:
    async with setting() as s:
        first, second = s.open("first", sub="u1"), s.open("second", sub="u2")
        await s.sweeps()
        s.watch.finish(first)
        await s.revoker.revoke("corp", "sub", "u1")
        await s.sweeps()
        assert s.ends == {}
        s.watch.finish(second)
        await until(lambda: len(asyncio.all_tasks()) == 1)
        s.open("third", sub="u1")
        assert await s.ended("third") is errors.TOKEN_REVOKED


async def test_after_a_reload_each_connection_is_held_to_what_decides_about_its_request_now() -> None:
    async with setting() as s:
        now = {
            "/same": s.policy,
            "/stricter": dataclasses.replace(s.policy, rules=Rules(scopes=("orders:write",))),
            "/public": dataclasses.replace(s.policy, is_public=True),
        }

        def place(request: Request) -> tuple[Policy, dict[str, str]]:
            if request.target not in now:
                raise GatewayError(errors.ROUTE_NOT_FOUND)
            return now[request.target], {}

        for name in ("same", "stricter", "public", "gone"):
            s.open(name, sub="u1")
        await s.sweeps()
        s.watch.judge_anew(place)
        assert await s.ended("stricter") is errors.SCOPE_INSUFFICIENT
        assert await s.ended("gone") is errors.ROUTE_NOT_FOUND
        await s.sweeps()
        assert (s.ends.keys(), len(s.watch)) == ({"stricter", "gone"}, 1)
        await s.revoker.revoke("corp", "sub", "u1")
        assert await s.ended("same") is errors.TOKEN_REVOKED
        assert "public" not in s.ends


async def test_a_connection_without_a_token_ends_when_its_route_needs_one() -> None:
    async with setting(is_token_optional=True) as s:
        s.open("anonymous", (b"Host", b"a"))
        s.open("public", (b"Host", b"a"))
        s.watch.judge_anew(lambda request: (s.policy, {}))
        assert s.ends == {}
        strict = dataclasses.replace(s.policy, is_token_optional=False)
        s.watch.judge_anew(lambda request: (strict if request.target == "/anonymous" else s.policy, {}))
        assert s.ends == {"anonymous": errors.TOKEN_MISSING}


async def test_an_answer_by_the_rules_of_before_a_reload_does_not_count() -> None:
    class Slow(Keys):
        async def refresh_for_unknown_kid(self) -> None:
            self.refreshes += 1
            await asyncio.wait_for(go.wait(), 30)

    go, slow = asyncio.Event(), Slow(OTHER)
    async with setting() as s:
        old = dataclasses.replace(s.policy, verifier=verifier(slow, now=s.now))
        fields = Fields([(b"Authorization", f"Bearer {mint()}".encode())])
        standing = s.watch.begin(old, Request("GET", "/", fields), {}, lambda error: s.ends.update(one=error.reason))
        await until(lambda: slow.refreshes > 0)
        assert s.ends == {}
        s.watch.judge_anew(lambda _: (s.policy, {}))
        go.set()
        await until(lambda: standing._verified is not None)
        await s.sweeps()
        assert s.ends == {}


async def test_a_connection_that_was_let_in_before_a_reload_and_opened_after_it_is_held_to_the_new_rules() -> None:
    async with setting() as s:
        strict = dataclasses.replace(s.policy, rules=Rules(scopes=("orders:write",)))
        s.watch.judge_anew(lambda _: (strict, {}))
        s.open("late")
        # Not at once: whoever opens it has nothing to end yet.
        assert s.ends == {}
        assert await s.ended("late") is errors.SCOPE_INSUFFICIENT


async def test_what_nobody_watches_any_more_does_not_go_on() -> None:
    async with setting() as s:
        s.open("u1")
        await s.sweeps()
        await s.watch.close()
        assert s.ends == {"u1": errors.DRAINING}
        assert len(asyncio.all_tasks()) == 1


async def test_a_thousand_connections_are_asked_about_a_few_at_a_time() -> None:
    async with setting() as s:
        for number in range(1000):
            s.open(f"{number}", sub=f"u{number % 3}")
        most = 0
        while any(standing._verified is None for standing in s.watch._standings):
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0)
        assert most <= 20
        await s.revoker.revoke("corp", "sub", "u1")
        await until(lambda: len(s.ends) == 333)
        assert len(s.watch) == 667
