"""Answers that gateways share through a real Redis: no request waits for it more than once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.cache.redis import SharedStore
from gateway.cache.sealing import Sealer
from gateway.oauth.client import IssuerClient
from gateway.oauth.client_authentication import ClientSecretBasic
from gateway.oauth.discovery import KnownEndpoint
from gateway.oauth.introspection import IntrospectionClient
from gateway.oauth.introspection_answers import Answer, AnswerRules, Introspection, SharedAnswers
from tests.http.origin import until
from tests.issuer import FakeIssuer
from tests.relay import Relay
from tests.services import Service

OLD, NEW = b"the old secret, of 32 bytes or more", b"the new secret, of 32 bytes or more"


@dataclass
class Setting:
    """An issuer that is asked, and the way to the Redis where its answers are shared."""

    issuer: FakeIssuer
    relay: Relay
    shared: SharedAnswers
    introspection: Introspection


@contextlib.asynccontextmanager
async def setting(redis: Service, *secrets: bytes, timeout: float = 5) -> AsyncIterator[Setting]:
    async with FakeIssuer() as issuer, Relay(redis.port) as relay:
        prefix = f"test-{time.perf_counter_ns()}:"
        store = SharedStore(f"redis://127.0.0.1:{relay.port}/0", prefix=prefix, timeout=timeout)
        shared = SharedAnswers(store, Sealer(secrets or (OLD,)), issuer.issuer)
        client = IssuerClient(timeout=timeout)
        asking = IntrospectionClient(
            client, ClientSecretBasic("gateway", "s"), metadata=KnownEndpoint(client, issuer.issuer)
        )
        introspection = Introspection("corp", asking, AnswerRules(timeout=timeout), shared=shared)
        try:
            yield Setting(issuer, relay, shared, introspection)
        finally:
            relay.is_open.set()
            await introspection.close()
            await store.close()


async def test_an_answer_does_not_wait_until_it_is_shared(redis_server: Service) -> None:
    async with setting(redis_server) as s:
        s.issuer.active["t"] = {"sub": "u1"}
        s.issuer.delay = 0.2
        asked = asyncio.create_task(s.introspection.answer(b"t"))
        await until(lambda: s.issuer.requests["/introspect"] == 1)
        s.relay.is_open.clear()
        async with asyncio.timeout(4):
            assert (await asked).claims == {"sub": "u1"}
        await until(lambda: b"SET" in s.relay.sent)
        s.relay.is_open.set()
        found = await s.shared.get(b"t", time.time())
        assert found is not None
        assert found.claims == {"sub": "u1"}


async def test_while_secrets_are_rotated_all_names_are_looked_under_at_once(redis_server: Service) -> None:
    async with setting(redis_server, NEW, OLD) as s:
        await s.shared.put(b"t", Answer({"sub": "u1"}, time.time() + 60), time.time())
        # Opens connections: one that is new would wait for replies before it asks.
        await asyncio.gather(*(s.shared.get(token, time.time()) for token in (b"t1", b"t2", b"t3")))
        s.relay.sent.clear()
        s.relay.is_open.clear()
        asked = asyncio.create_task(s.shared.get(b"t", time.time()))
        await until(lambda: s.relay.sent.count(b"GET") == 2)
        s.relay.is_open.set()
        found = await asked
        assert found is not None
        assert found.claims == {"sub": "u1"}
