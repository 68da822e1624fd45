"""Gateways that share a Redis, each a process of its own: revocations reach all of them, answers are found by all."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from redis import Redis

from tests.outages.setting import MARGIN, Ground, Setting, ground
from tests.redis_servers import RedisNode, cluster, redis_node, sentinel, until
from tests.relay import relay_thread

SECRET = "the secret that all replicas seal with"


def redis_block(url: str, *, is_required: bool = False, secret: str = SECRET, timeout: str = "1s") -> dict[str, Any]:
    return {"url": url, "secret": secret, "timeout": timeout, "required": is_required}


@contextlib.contextmanager
def replicas(g: Ground, *blocks: dict[str, Any], cache: str = "10m") -> Iterator[list[Setting]]:
    """A gateway for each of these blocks, all of them well."""
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(g.gateway(redis=block, cache=cache, longest=5)) for block in blocks]
        for s in started:
            s.until_well()
        yield started


def jti(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])


def revoked_through(s: Setting) -> str:
    """A token that this gateway was told to refuse."""
    token = s.keys.jwt()
    s.gateway.revoke(jti=jti(token))
    return token


# --- revocations -------------------------------------------------------------------------------------------------


def test_what_is_revoked_through_one_gateway_is_refused_by_the_other_within_a_second(tmp_path: Path) -> None:
    with (
        redis_node(tmp_path) as node,
        ground(tmp_path) as g,
        replicas(g, *[redis_block(node.url)] * 2) as (first, second),
    ):
        now = int(time.time())
        named: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
            "sub": ({"sub": "u-1"}, {"sub": "u-1"}),
            "client_id": ({"client_id": "c-1"}, {"client_id": "c-1"}),
            "sid": ({"sid": "s-1"}, {"sid": "s-1"}),
            "issued_before": ({"sub": "u-2", "iat": now - 60}, {"sub": "u-2", "issued_before": now - 30}),
        }
        took = []
        for claims, revocation in named.values():
            token = g.keys.jwt(**claims)
            for s in (first, second):
                s.until_allowed(token)
            entry = first.gateway.revoke(**revocation)
            started = time.monotonic()
            assert entry["delivered"] is True
            assert first.gateway.reason("/orders", token) == (401, "token_revoked")
            second.until_revoked(token)
            took.append(time.monotonic() - started)
            assert first.gateway.api("DELETE", f"/revocations/{entry['id']}")[0] == 204
            second.until_allowed_again(token)
        # A busy machine may hold up one of them.
        assert statistics.median(took) < 1.0
        assert max(took) < 1.0 + MARGIN
        assert second.gateway.ask("/orders", g.keys.jwt())[0] == 200


def test_revocations_outlive_the_gateways_and_are_known_before_the_first_request(tmp_path: Path) -> None:
    # With stored keys, so that it could allow the token at once.
    keys_block = {"store": str(tmp_path / "keys")}
    with redis_node(tmp_path) as node, ground(tmp_path) as g:
        with g.gateway(redis=redis_block(node.url), keys_block=keys_block, longest=5) as first:
            first.until_well()
            token = revoked_through(first)
        with g.gateway(redis=redis_block(node.url), keys_block=keys_block, longest=5) as second:
            assert second.gateway.reason("/orders", token) == (401, "token_revoked")
            second.until_well()


def test_what_is_revoked_while_redis_is_away_is_delivered_to_all_when_it_is_back(tmp_path: Path) -> None:
    with (
        redis_node(tmp_path) as node,
        ground(tmp_path) as g,
        replicas(g, *[redis_block(node.url)] * 2) as (first, second),
    ):
        before = revoked_through(first)
        second.until_revoked(before)
        node.kill()
        second.until_ready_is("200, Redis `unavailable`")
        meanwhile = [revoked_through(s) for s in (first, second)]
        # Another one, which holds nothing.
        node.start()
        for s in (first, second):
            for token in (before, *meanwhile):
                s.until_revoked(token)
        until(lambda: all({**first.gateway.revocations(), **second.gateway.revocations()}.values()))
        with g.gateway(redis=redis_block(node.url), longest=5) as third:
            third.until_well()
            for token in (before, *meanwhile):
                assert third.gateway.reason("/orders", token) == (401, "token_revoked")


def test_a_gateway_that_lost_its_connection_misses_no_revocation(tmp_path: Path) -> None:
    with (
        redis_node(tmp_path) as node,
        relay_thread(node.port) as relay,
        ground(tmp_path) as g,
    ):
        far = f"redis://127.0.0.1:{relay.port}/0"
        blocks = redis_block(node.url), redis_block(far), redis_block(far, is_required=True)
        with replicas(g, *blocks) as (first, optional, requiring):
            tokens = [g.keys.jwt() for _ in range(5)]
            for token in tokens:
                optional.until_allowed(token)
                requiring.until_allowed(token)
            relay.cut()
            requiring.until_ready_is("503, Redis `unavailable`")
            for token in tokens:
                first.gateway.revoke(jti=jti(token))
                # It can't know, and where it must know it lets nothing pass.
                assert optional.gateway.ask("/orders", token)[0] == 200
                assert requiring.gateway.reason("/orders", token) == (503, "issuer_unavailable")
            relay.mend()
            for token in tokens:
                assert requiring.until_decided(token) == (401, "token_revoked")
                optional.until_revoked(token)


# --- Redis in its larger forms -----------------------------------------------------------------------------------


def test_behind_a_sentinel_a_failover_loses_neither_revocations_nor_answers(tmp_path: Path) -> None:
    with sentinel(tmp_path) as guarded, ground(tmp_path) as g:
        blocks = redis_block(guarded.url), redis_block(guarded.url, is_required=True)
        with replicas(g, *blocks) as (first, second):
            before = revoked_through(first)
            second.until_revoked(before)
            shared = share(first)
            until(lambda: answers_in(guarded.replica) == answers_in(guarded.master), seconds=10)
            guarded.master.kill()
            second.until_ready_is("503, Redis `unavailable`")
            meanwhile = revoked_through(first)
            assert first.gateway.ask("/orders", shared)[0] == 200
            assert second.gateway.reason("/orders", before) == (503, "issuer_unavailable")
            second.until_well()
            for token in (before, meanwhile):
                second.until_revoked(token)
            after = revoked_through(second)
            first.until_revoked(after)
            asked = g.introspector.asked()
            assert second.gateway.ask("/orders", shared)[0] == 200
            assert g.introspector.asked() == asked


def test_in_a_cluster_every_answer_is_found_and_a_node_that_comes_back_is_told_everything(tmp_path: Path) -> None:
    with cluster(tmp_path) as nodes, ground(tmp_path) as g:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        with replicas(g, redis_block(url), redis_block(url, is_required=True)) as (first, second):
            before = revoked_through(first)
            second.until_revoked(before)
            tokens = [share(first) for _ in range(9)]  # that all of them lie on one node: once in 6,561
            until(lambda: sum(map(answers_in, nodes)) >= len(tokens))
            assert sum(answers_in(node) > 0 for node in nodes) > 1
            asked = g.introspector.asked()
            assert [second.gateway.ask("/orders", token)[0] for token in tokens] == [200] * len(tokens)
            assert g.introspector.asked() == asked
            holder = next(node for node in nodes if b"revocations" in node.ask("KEYS", "*"))
            holder.kill()
            second.until_ready_is("503, Redis `unavailable`")
            meanwhile = revoked_through(first)
            assert first.gateway.ask("/orders", tokens[0])[0] == 200
            assert second.gateway.reason("/orders", tokens[0]) == (503, "issuer_unavailable")
            holder.start()
            second.until_well()
            for token in (before, meanwhile):
                second.until_revoked(token)
            until(lambda: b"revocations" in holder.ask("KEYS", "*"))


def share(s: Setting) -> str:
    """An opaque token whose answer this gateway has put where others find it."""
    token = s.introspector.opaque()
    s.until_allowed(token)
    return token


def answers_in(node: RedisNode) -> int:
    """How many answers this node holds."""
    return node.ask("KEYS", "*:introspection:*").count(b":introspection:")


# --- answers in the hands of others ------------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that somebody else can read and write too."""
    with redis_node(tmp_path) as node, Redis(port=node.port) as client:
        yield client


def url_of(redis: Redis) -> str:
    return f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0"


def answers(redis: Redis) -> dict[bytes, bytes]:
    """All answers, by their names."""
    return {name: redis.get(name) for name in redis.keys("*:introspection:*")}  # type: ignore[misc,union-attr]


def entry_of(redis: Redis, s: Setting, token: str) -> tuple[bytes, bytes]:
    """The entry in Redis with the answer about a token that this gateway is the first to see."""
    before = set(answers(redis))
    s.until_decided(token)
    until(lambda: len(set(answers(redis)) - before) == 1)
    (name,) = set(answers(redis)) - before
    return name, answers(redis)[name]


def test_who_can_read_redis_learns_nothing_of_tokens_and_their_owners(redis: Redis, tmp_path: Path) -> None:
    blocks = redis_block(url_of(redis)), redis_block(url_of(redis), secret="a secret that somebody else made up")
    with ground(tmp_path) as g, replicas(g, *blocks) as (first, other):
        tokens = [g.introspector.opaque(email=f"user-{n}@example.com") for n in range(3)]
        entries = dict(entry_of(redis, first, token) for token in tokens)
        assert len(entries) == len(tokens)
        for name, sealed in entries.items():
            assert 0 < redis.pttl(name) <= 600_000  # type: ignore[operator]
            for secret in (*tokens, "opaque", "example.com", "u1", "active", "claims"):
                assert secret.encode() not in name + sealed
        asked = g.introspector.asked()
        assert [other.gateway.ask("/orders", token)[0] for token in tokens] == [200] * len(tokens)
        assert g.introspector.asked() == asked + len(tokens)


def test_who_can_write_redis_can_neither_change_nor_exchange_an_answer(redis: Redis, tmp_path: Path) -> None:
    with ground(tmp_path) as g, replicas(g, *[redis_block(url_of(redis))] * 2) as (first, second):
        tokens = [g.introspector.opaque() for _ in range(10)]
        names, sealed = zip(*(entry_of(redis, first, token) for token in tokens), strict=True)
        weak = g.introspector.opaque(aud="another-api")
        place, _ = entry_of(redis, first, weak)
        # The version, the nonce, what is sealed, and the tag at the end.
        for number, position in enumerate((0, 1, 13, 40, -1)):
            changed = bytearray(sealed[number])
            changed[position] ^= 1
            redis.set(names[number], bytes(changed))
        for number, value in ((5, b""), (6, sealed[6][:-1]), (7, sealed[0]), (8, b"\x01" * 99)):
            redis.set(names[number], value)
        # The answer for a token that is good, in the place of that for one that is not.
        redis.set(place, sealed[9])
        asked = g.introspector.asked()
        assert [second.gateway.ask("/orders", token)[0] for token in tokens[:9]] == [200] * 9
        assert second.gateway.reason("/orders", weak) == (401, "audience_mismatch")
        assert g.introspector.asked() == asked + 10
        # What nobody has touched is taken without asking.
        assert second.gateway.ask("/orders", tokens[9])[0] == 200
        assert g.introspector.asked() == asked + 10


def test_who_can_write_redis_can_not_bring_an_old_answer_back(redis: Redis, tmp_path: Path) -> None:
    with ground(tmp_path) as g, replicas(g, *[redis_block(url_of(redis))] * 2, cache="1s") as (first, second):
        token = g.introspector.opaque()
        name, sealed = entry_of(redis, first, token)
        g.introspector.forgets(token)
        until(lambda: first.gateway.ask("/orders", token)[0] == 401)
        redis.set(name, sealed)
        asked = g.introspector.asked()
        assert second.gateway.reason("/orders", token) == (401, "token_inactive")
        assert g.introspector.asked() == asked + 1
