"""One gateway in the place of another: which parts go on, which begin, which end, and what the figures say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from gateway import build
from gateway.config import ConfigError
from gateway.process.service import Service
from gateway.process.succession import Successor
from tests.http.origin import until
from tests.issuer import private_key, server_tls
from tests.world import AUDIENCE, ISSUER, configuration, public_jwks

PLAIN = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
OPEN = {"path": "/open", "public": True, "respond": {"body": "hi"}}


def sites(*names: str, **upstream: Any) -> dict[str, Any]:
    return {name: {"url": "http://127.0.0.1:9", **upstream} for name in names}


def issuers(**blocks: dict[str, Any]) -> dict[str, Any]:
    corp = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks())}
    return {name: {**corp, **block} for name, block in blocks.items()}


async def test_what_a_configuration_says_as_before_is_the_same_object_and_the_rest_is_not() -> None:
    first = configuration(9, OPEN, upstreams=sites("orders", "b"), issuers=issuers(corp={}, b={"issuer": "https://b"}))
    second = configuration(
        9,
        OPEN,
        upstreams={**sites("orders"), **sites("b", keep_alive="1s")},
        issuers=issuers(corp={}, b={"issuer": "https://b2"}, c={"issuer": "https://c"}),
    )
    service = Service(first, environ={})
    await service.start()
    before = service.gateway
    await service.prepare(second)
    assert service.gateway is before
    service.swap()
    after = service.gateway
    assert after is not before
    assert service.operations.gateway is after
    assert (after.upstreams["orders"] is before.upstreams["orders"]) is True
    assert (after.upstreams["b"] is before.upstreams["b"]) is False
    assert [after.issuers[name].keys is before.issuers[name].keys for name in ("corp", "b")] == [True, False]
    assert after.revoker.deny_list is before.revoker.deny_list
    assert after.watch is before.watch
    await service.close()


async def test_what_only_the_old_one_had_ends_with_its_last_request_and_the_rest_goes_on() -> None:
    health = {"path": "/", "interval": "1h"}
    service = Service(configuration(9, OPEN, upstreams=sites("orders", "b", health=health)), environ={})
    await service.start()
    before = service.gateway
    endpoints = {name: upstream.endpoints[0] for name, upstream in before.upstreams.items()}
    before.in_flight = 1
    await service.prepare(configuration(9, OPEN, upstreams=sites("orders", health=health)))
    service.swap()
    assert service.metrics.figures().as_json()["gateway_requests_in_flight"] == [[[], [1]]]
    await asyncio.sleep(0.3)
    assert not endpoints["b"].is_closed
    before.in_flight = 0
    await until(lambda: endpoints["b"].is_closed)
    assert not endpoints["orders"].is_closed
    await until(lambda: not service._retiring)
    await service.close()
    assert endpoints["orders"].is_closed
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_what_lasts_for_ever_does_not_keep_what_it_needs_no_more() -> None:
    first = build.construct(configuration(9, OPEN, upstreams=sites("orders", "b")))
    second = build.construct(configuration(9, OPEN, upstreams=sites("orders")), before=first)
    first.gateway.in_flight = 1
    await Successor(second, None, first.gateway).retire(0.2)
    closed = {name: upstream.endpoints[0].is_closed for name, upstream in first.gateway.upstreams.items()}
    assert closed == {"orders": False, "b": True}


async def test_at_its_end_it_waits_for_nothing_that_a_reload_left_behind() -> None:
    service = Service(configuration(9, OPEN, upstreams=sites("orders", "b")), environ={})
    await service.start()
    before = service.gateway
    before.in_flight = 1
    await service.prepare(configuration(9, OPEN, upstreams=sites("orders")))
    service.swap()
    await service.prepare(configuration(9, OPEN, upstreams=sites("orders", "c")))
    async with asyncio.timeout(30):
        await service.close()
    assert before.upstreams["b"].endpoints[0].is_closed
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_what_can_not_be_built_or_is_not_wanted_changes_nothing() -> None:
    service = Service(configuration(9, OPEN), environ={})
    await service.start()
    before = service.gateway
    with pytest.raises(ConfigError):
        await service.prepare(configuration(9, OPEN, issuers=issuers(corp={"jwks": {"keys": []}})))
    await service.prepare(configuration(9, OPEN, upstreams=sites("orders", "b")))
    await service.abandon()
    assert service.gateway is before
    await service.close()
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_an_issuer_that_never_answers_keeps_a_start_unready_but_no_reload() -> None:
    silent = {"issuer": "http://127.0.0.1:9", "audience": AUDIENCE}
    fresh = Service(configuration(9, OPEN, issuers={"silent": silent}), environ={})
    await fresh.start()
    assert fresh.health.report()["ready"] is False
    await fresh.prepare(configuration(9, OPEN, issuers={"silent": silent, "other": silent | {"issuer": "https://b"}}))
    fresh.swap()
    assert fresh.health.report()["ready"] is False
    await fresh.close()

    service = Service(configuration(9, OPEN), environ={})
    await service.start()
    assert service.health.report()["ready"] is True
    await service.prepare(configuration(9, OPEN, issuers={**issuers(corp={}), "silent": silent}))
    service.swap()
    report = service.health.report()
    assert (report["ready"], report["issuers"]) == (True, {"corp": "ready", "silent": "waiting"})
    await service.close()


async def test_counters_go_on_where_those_before_them_ended() -> None:
    service = Service(configuration(9, OPEN), environ={})
    await service.start()
    service.gateway.verifier.hits = 5
    service.gateway.upstreams["orders"].retries = 3
    service.gateway.issuers["corp"].keys.results["ok"] = 2

    def counts() -> list[Any]:
        told = service.metrics.figures().as_json()
        names = ("gateway_cache_operations", "gateway_upstream_retries", "gateway_jwks_refresh")
        return [row for name in names for row in told[name] if row[1] != [0]]

    expected = counts()
    assert len(expected) == 3
    changed = issuers(corp={"leeway": "1s", "secret": "x" * 32, "jwks": None, "algorithms": ["HS256"]})
    for upstream in ({"keep_alive": "1s"}, {"keep_alive": "2s"}):
        await service.prepare(configuration(9, OPEN, upstreams=sites("orders", **upstream), issuers=changed))
        service.swap()
        assert counts() == expected
    await service.prepare(configuration(9, OPEN, upstreams=sites("b"), issuers={}))
    service.swap()
    assert counts() == expected
    service.gateway.verifier.hits = 1
    assert [["token", "hit"], [6]] in counts()
    await service.close()


async def test_another_certificate_path_counts_for_the_next_handshake(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        server_tls(tmp_path / name)
        paths.append({"certificate": f"{tmp_path}/{name}/tls.pem", "private_key": f"{tmp_path}/{name}/tls.pem"})
    service = Service(configuration(9, OPEN, tls=paths[0]), environ={})
    await service.start()
    assert service._handshakes is not None
    before = service._handshakes._context
    await service.prepare(configuration(9, OPEN, tls=paths[1], timeouts={"request_head": "3s"}))
    service.swap()
    assert service._handshakes._context is not before
    assert service._handshakes._timeout == 3
    await service.close()


async def test_another_key_of_the_gateway_makes_another_client_of_the_issuer_and_keeps_its_keys(tmp_path: Path) -> None:
    server_tls(tmp_path)
    key = tmp_path / "client.pem"
    key.write_bytes((tmp_path / "tls.pem").read_bytes().split(b"-----END CERTIFICATE-----\n")[1])
    endpoint = {"endpoint": "https://a.example/introspect", "client_auth": "private_key_jwt", "client_key": str(key)}
    config = configuration(9, OPEN, issuers=issuers(corp={"introspection": {"client_id": "gateway", **endpoint}}))
    service = Service(config, environ={})
    await service.start()
    seen = []
    for content in (key.read_bytes(), private_key("P-384").private_bytes(*PLAIN)):
        key.write_bytes(content)
        before = service.gateway.issuers["corp"]
        await service.prepare(config)
        service.swap()
        after = service.gateway.issuers["corp"]
        seen.append((after.keys is before.keys, after.introspection is before.introspection))
        assert after.introspection is not None
        assert len(after.introspection.on_called) == 1
    assert seen == [(True, True), (True, False)]
    await service.close()
