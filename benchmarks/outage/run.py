"""Kills Redis under load, starts it again, and keeps what clients of two gateways saw meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from benchmarks.authorization_server import DISMISSED, JWT, OPAQUE, AuthorizationServer, authorization_server
from benchmarks.issuer import Issuer
from benchmarks.machine import Cores
from benchmarks.outage.redis_server import RedisServer, redis_server
from benchmarks.outage.replica import Replica, replica
from benchmarks.outage.steady import OK, Answer, Kind, Observation, ask_steadily
from benchmarks.processes import StartError
from benchmarks.requests import Request
from benchmarks.rounds import say
from benchmarks.scenarios import prefixes
from benchmarks.servers.peer import Setting, status_of
from benchmarks.upstream import Upstream, upstream

REVOKED: Answer = (401, "token_revoked")
MISSING: Answer = (401, "token_missing")
NEVER = float("inf")

ELSEWHERE = "the same, other gateway"
NEW_PER_SECOND = 20
AT_ONCE = 1.0
"""A revocation takes effect within a second at the replica that was told."""
DELIVERED = 4.0
"""And in this time at one that could not hear of it, once Redis is back: it is looked for every two seconds or so."""


@dataclass
class Course:
    """When things happened, in seconds from the start; infinity while they have not."""

    killed: float = NEVER
    noticed: float = NEVER
    withdrawal_asked: float = NEVER
    withdrawal_answered: float = NEVER
    back: float = NEVER
    healed: float = NEVER


@dataclass
class Tokens:
    """The tokens of a run. `new` are opaque ones that no gateway has seen, each to be sent once."""

    jwt: str
    opaque: str
    new: list[str]
    revoked: str
    revoked_opaque: str
    withdrawn: str

    @classmethod
    def of(cls, authority: AuthorizationServer, seconds: int) -> Tokens:
        """By client credentials, all of them."""
        new = [authority.token(OPAQUE) for _ in range(NEW_PER_SECOND * (seconds + 1))]
        revoked, withdrawn = authority.token(JWT), authority.token(JWT)
        return cls(authority.token(JWT), authority.token(OPAQUE), new, revoked, authority.token(DISMISSED), withdrawn)


@dataclass(frozen=True)
class Outcome:
    """What came of a run. `forwarded` are the requests that the upstream saw."""

    kinds: list[Kind]
    observations: list[Observation]
    course: Course
    forwarded: int


@dataclass
class Scene:
    """Everything that runs: the replica that is told of revocations, the other one, and what they need."""

    here: Replica
    there: Replica
    redis: RedisServer
    api: Upstream
    tokens: Tokens
    course: Course = field(default_factory=Course)


def run(command: Path, seconds: int) -> Outcome:
    """Steady load for so long; Redis is away in the middle third. Raises `StartError`, `TokenError`."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        cores, issuer = Cores.for_workers(1), Issuer(folder)
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores.load)
        api = stack.enter_context(upstream(cores.load, folder, issuer))
        authority = stack.enter_context(authorization_server(cores.load, folder))
        redis = stack.enter_context(redis_server(cores.load, folder))
        here, there = (
            stack.enter_context(replica(command, setting, authority.trust(), redis.port))
            for setting in (
                Setting(folder / name, cores.measured, api.port, api.jwks_uri, issuer, prefixes(1))
                for name in ("here", "there")
            )
        )
        scene = Scene(here, there, redis, api, Tokens.of(authority, seconds))
        _prepare(scene)
        return asyncio.run(_watch(scene, seconds))


def _prepare(scene: Scene) -> None:
    """Revoke what is to be revoked, and let both replicas see the tokens they are to have in their caches."""
    tokens = scene.tokens
    scene.here.revoke("jti", _jti(tokens.revoked))
    scene.here.revoke("client_id", DISMISSED)
    deadline = time.monotonic() + 10
    wanted = {tokens.jwt: 200, tokens.opaque: 200, tokens.revoked: 401, tokens.revoked_opaque: 401}
    for gateway in (scene.here, scene.there):
        for token, status in wanted.items():
            while (got := status_of(gateway.port, Request(token=token))) != status:
                if time.monotonic() > deadline:
                    raise StartError(f"oauth-gateway answers {got} where {status} is right, before anything happened")
                time.sleep(0.1)


def _jti(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])


async def _watch(scene: Scene, seconds: int) -> Outcome:
    """The load and what happens beside it."""
    kinds = _kinds(scene)
    before, start = scene.api.requests(), time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            load = group.create_task(ask_steadily(kinds, seconds, start))
            group.create_task(_happen(scene, seconds, start))
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    return Outcome(kinds, load.result(), scene.course, scene.api.settled() - before)


async def _happen(scene: Scene, seconds: int, start: float) -> None:
    """Redis dies after a third of the time; a token is revoked; Redis comes back, empty, after two thirds."""
    course = scene.course

    def now() -> float:
        return time.monotonic() - start

    async def until(moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - now()))

    await until(seconds / 3)
    course.killed = now()
    await asyncio.to_thread(scene.redis.kill)
    say(f"{course.killed:.1f} s: Redis was killed")
    if await _is(scene, "unavailable", 2 * seconds / 3 - now()):
        course.noticed = now()
    course.withdrawal_asked = now()
    await asyncio.to_thread(scene.here.revoke, "jti", _jti(scene.tokens.withdrawn))
    course.withdrawal_answered = now()
    say(f"{course.withdrawal_answered:.1f} s: a token was revoked at one gateway")
    await until(2 * seconds / 3)
    await asyncio.to_thread(scene.redis.start)
    course.back = now()
    say(f"{course.back:.1f} s: Redis is back, and empty")
    if await _is(scene, "ready", seconds - now()):
        course.healed = now()


async def _is(scene: Scene, wanted: str, patience: float) -> bool:
    """Wait until both replicas say so of Redis. False when one of them does not in time."""
    deadline = time.monotonic() + patience
    for gateway in (scene.here, scene.there):
        while await asyncio.to_thread(gateway.redis_state) != wanted:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
    return True


def _kinds(scene: Scene) -> list[Kind]:
    tokens, here, there = scene.tokens, scene.here.port, scene.there.port
    new = iter(tokens.new)
    return [
        Kind("a cached JWT", here, lambda: tokens.jwt, _always(OK), 150),
        Kind("a cached opaque token", here, lambda: tokens.opaque, _always(OK), 150),
        Kind("new opaque tokens", here, lambda: next(new), _always(OK), NEW_PER_SECOND),
        Kind("a revoked JWT", here, lambda: tokens.revoked, _always(REVOKED), 50),
        Kind("a revoked opaque token", here, lambda: tokens.revoked_opaque, _always(REVOKED), 50),
        Kind("no token", here, str, _always(MISSING), 50),
        Kind("a JWT revoked meanwhile", here, lambda: tokens.withdrawn, _until_told(scene.course), 50),
        Kind(ELSEWHERE, there, lambda: tokens.withdrawn, _until_delivered(scene.course), 50),
        Kind("a revoked JWT, other gateway", there, lambda: tokens.revoked, _always(REVOKED), 50),
    ]


Wanted = Callable[[float, float], Collection[Answer]]


def _always(answer: Answer) -> Wanted:
    return lambda sent, came: (answer,)


def _until_told(course: Course) -> Wanted:
    """Good until it is revoked, refused within a second after, and either in between."""

    def wanted(sent: float, came: float) -> Collection[Answer]:
        if came < course.withdrawal_asked:
            return (OK,)
        return (REVOKED,) if sent > course.withdrawal_answered + AT_ONCE else (OK, REVOKED)

    return wanted


def _until_delivered(course: Course) -> Wanted:
    """The same where Redis has to bring the news, which it can't while it is away."""

    def wanted(sent: float, came: float) -> Collection[Answer]:
        if came < course.withdrawal_asked:
            return (OK,)
        return (REVOKED,) if sent > course.back + DELIVERED else (OK, REVOKED)

    return wanted
