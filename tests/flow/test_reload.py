"""A configuration that changes while real processes run: what makes it be read again, and what clients see of it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crew import ADMIN_TOKEN, Upstream, until
from tests.gateway_process import fetch
from tests.http.origin import ScriptedOrigin
from tests.http.websockets import echo, switched, websocket
from tests.issuer_process import JWKS, METADATA, issuer_process
from tests.reloading import REFUSED, RELOADED, Reloading, asked, reloading
from tests.services import free_port
from tests.world import AUDIENCE, bearer, mint, public_jwks

WORKERS = pytest.mark.parametrize("workers", [1, 2])
ISSUERS = "gateway_jwks_refresh_total"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


def requires(scope: str | None) -> Any:
    """A change of the route that needs a token."""
    return lambda config: config["routes"][0].update(require={"scopes": [scope]} if scope else {})


def statuses(connections: list[http.client.HTTPConnection], **options: Any) -> set[int]:
    return {asked(connection, **options) for connection in connections}


# --- what is decided after it ------------------------------------------------------------------------------------


@WORKERS
def test_the_next_request_on_an_open_connection_is_decided_by_the_new_rules(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    with reloading(tmp_path, upstream.url, workers) as r:
        connections = r.connections()
        sockets = [connection.sock for connection in connections]
        token = mint(scope="orders:read")
        for scope, status in (("orders:write", 403), ("orders:read", 200), ("orders:write", 403), (None, 200)):
            # Known fields, a known token, and an upstream connection at rest: the way without a coroutine.
            for _ in range(3):
                assert len(statuses(connections, token=token)) == 1
            r.write(requires(scope))
            r.sighup()
            assert [asked(connection, token=token) for connection in connections] == [status] * workers
        assert [connection.sock for connection in connections] == sockets


@WORKERS
def test_a_request_that_has_begun_ends_by_the_rules_it_began_with(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    with reloading(tmp_path, upstream.url, workers) as r:
        answers: list[int] = []
        waiting = [threading.Thread(target=lambda: answers.append(r.gateway.ask("/slow/x")[0])) for _ in range(6)]
        for thread in waiting:
            thread.start()
            assert upstream.waiting.acquire(timeout=60)

        def without_route_and_upstream(config: dict[str, Any]) -> None:
            config["routes"] = [{"path": "/open/x", "public": True, "respond": {"body": "new"}}]
            config["upstreams"] = {}

        r.write(without_route_and_upstream)
        r.sighup()
        assert r.gateway.ask("/slow/x")[0] == 404
        assert r.gateway.ask("/open/x")[2] == "new"
        assert r.gateway.metric("gateway_requests_in_flight") == 6
        upstream.go.set()
        for thread in waiting:
            thread.join(60)
        assert answers == [200] * 6
        until(lambda: r.gateway.metric("gateway_requests_in_flight") == 0)


@WORKERS
def test_what_is_revoked_or_counted_stays_so(tmp_path: Path, upstream: Upstream, workers: int) -> None:
    with reloading(tmp_path, upstream.url, workers) as r:
        connections = r.connections()
        token, revoked = mint(sub="u1"), mint(sub="u2")
        assert statuses(connections, token=token) == statuses(connections, token=revoked) == {200}
        r.gateway.api("POST", "/api/revocations", {"issuer": "corp", "sub": "u2"})
        before = r.gateway.admin("/metrics")[1]
        for leeway in ("31s", "32s"):
            # The issuer's keys stay, and its rules do not; the upstream is another one.
            r.config["upstreams"]["orders"]["keep_alive"] = leeway
            r.write(lambda config, leeway=leeway: config["issuers"]["corp"].update(leeway=leeway))
            r.sighup()
            assert statuses(connections, token=revoked) == {401}
            assert statuses(connections, token=token) == {200}
        after = r.gateway.admin("/metrics")[1]
        assert falling(before, after) == []
        assert len(r.gateway.api("GET", "/api/revocations")[1]["revocations"]) == 1
        assert r.gateway.metric("gateway_cache_operations_total", 'cache="token",result="miss"') >= 2 * workers


def falling(before: str, after: str) -> list[str]:
    """The counters that went back."""

    def counters(text: str) -> dict[str, float]:
        samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in samples if "_total" in name or "_count" in name}

    now = counters(after)
    return [name for name, value in counters(before).items() if now.get(name, 0.0) < value]


def test_rate_limits_go_on_counting(tmp_path: Path, upstream: Upstream) -> None:
    with reloading(tmp_path, upstream.url, 1) as r:
        limit = {"requests": 3, "per": "1h", "by": "subject"}
        r.write(lambda config: config["routes"][0].update(rate_limit=limit))
        r.sighup()
        assert [r.gateway.ask("/orders/1", mint())[0] for _ in range(2)] == [200, 200]
        r.write(requires(None))
        r.sighup()
        assert [r.gateway.ask("/orders/1", mint())[0] for _ in range(2)] == [200, 429]


@WORKERS
def test_limits_and_the_log_change_for_connections_that_are_open(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    with reloading(tmp_path, upstream.url, workers) as r:
        connections = r.connections()
        long = f"/open/{'x' * 9000}"
        assert {asked(connection, long) for connection in r.connections()} == {414}
        r.write(
            lambda config: config.update(limits={"request_target": "16KiB"}, log={"level": "debug", "format": "text"})
        )
        r.sighup()
        assert statuses(connections, path=long) == {200}
        until(lambda: re.search("^[^{].* info request .*status=200", r.gateway.log, re.MULTILINE))


# --- issuers -----------------------------------------------------------------------------------------------------


@WORKERS
def test_an_issuer_that_says_the_same_is_not_asked_again_and_a_dead_new_one_harms_nobody(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    with issuer_process(tmp_path) as issuer:
        issuers = {"corp": {"issuer": issuer.issuer, "audience": AUDIENCE, "keys": {"timeout": "2s"}}}
        with reloading(tmp_path, upstream.url, workers, issuers=issuers) as r:
            connections = r.connections()
            token = mint(iss=issuer.issuer)
            assert statuses(connections, token=token) == {200}
            misses = r.gateway.metric("gateway_cache_operations_total", 'cache="token",result="miss"')
            count = issuer.asked(JWKS), issuer.asked(METADATA)
            assert count == (workers, workers)
            dead = {"issuer": f"http://127.0.0.1:{free_port()}", "audience": AUDIENCE}
            r.write(lambda config: config["issuers"].update(dead=dead))
            started = time.monotonic()
            r.sighup()
            assert time.monotonic() - started < 30
            r.write(requires(None))
            r.sighup()
            assert statuses(connections, token=token) == {200}
            assert (issuer.asked(JWKS), issuer.asked(METADATA)) == count
            # Not even the token had to be verified again.
            assert r.gateway.metric("gateway_cache_operations_total", 'cache="token",result="miss"') == misses
            status, body = r.gateway.admin("/readyz")
            assert (status, json.loads(body)["issuers"]) == (200, {"corp": "ready", "dead": "waiting"})
            assert r.gateway.reason("/orders/1", mint(iss=dead["issuer"])) == (503, "issuer_unavailable")


@WORKERS
def test_a_changed_issuer_has_its_keys_before_it_counts(tmp_path: Path, upstream: Upstream, workers: int) -> None:
    (tmp_path / "b").mkdir()
    with issuer_process(tmp_path) as first, issuer_process(tmp_path / "b") as second:
        issuers = {"corp": {"issuer": first.issuer, "audience": AUDIENCE}}
        with reloading(tmp_path, upstream.url, workers, issuers=issuers) as r:
            connections = r.connections()
            assert statuses(connections, token=mint(iss=first.issuer)) == {200}
            r.write(lambda config: config["issuers"]["corp"].update(issuer=second.issuer))
            r.sighup()
            assert statuses(connections, token=mint(iss=second.issuer)) == {200}
            assert statuses(connections, token=mint(iss=first.issuer)) == {401}
            assert r.gateway.metric(ISSUERS, 'result="ok"') == 2 * workers


# --- what makes it be read again ---------------------------------------------------------------------------------


@WORKERS
def test_a_changed_file_is_noticed(tmp_path: Path, upstream: Upstream, workers: int) -> None:
    with reloading(tmp_path, upstream.url, workers) as r:
        assert r.gateway.ask("/orders/1", mint())[0] == 200
        with r.expecting(f"{RELOADED}the files have changed"):
            r.write(requires("orders:write"))
        assert statuses(r.connections()) == {403}
        assert r.count(RELOADED) == 1


def test_files_of_a_folder_come_change_and_go(tmp_path: Path, upstream: Upstream) -> None:
    folder = tmp_path / "config"

    def laid_out(text: str) -> Path:
        folder.mkdir()
        (folder / "a.yaml").write_text(text)
        (folder / "notes.txt").write_text("not ours")
        return folder

    with reloading(tmp_path, upstream.url, 1, laid_out=laid_out) as r:
        route = {"name": "more", "path": "/more", "public": True, "respond": {"body": "one"}}
        more = folder / "b.yaml"
        for body in ("one", "two"):
            route["respond"] = {"body": body}
            with r.expecting():
                more.write_text(json.dumps({"routes": [route]}))
            assert r.gateway.ask("/more")[2] == body
        with r.expecting():
            more.unlink()
        assert r.gateway.ask("/more")[0] == 404


@WORKERS
def test_the_swap_of_a_mounted_config_map_is_a_change(tmp_path: Path, upstream: Upstream, workers: int) -> None:
    """As the kubelet does it: each version is a folder, `..data` leads to it, and every file leads through `..data`."""
    mount = tmp_path / "mount"

    def put(text: str, version: str) -> None:
        (mount / version).mkdir(parents=True)
        (mount / version / "gateway.yaml").write_text(text)
        (mount / "..data_tmp").symlink_to(version)
        (mount / "..data_tmp").rename(mount / "..data")

    def laid_out(text: str) -> Path:
        put(text, "..2026_1")
        (mount / "gateway.yaml").symlink_to("..data/gateway.yaml")
        return mount

    with reloading(tmp_path, upstream.url, workers, laid_out=laid_out) as r:
        assert r.gateway.ask("/orders/1", mint())[0] == 200
        requires("orders:write")(r.config)
        with r.expecting():
            put(json.dumps(r.config), "..2026_2")
            shutil.rmtree(mount / "..2026_1")
        assert r.gateway.ask("/orders/1", mint())[0] == 403


@WORKERS
def test_a_secret_in_a_file_is_read_again_when_it_changes(tmp_path: Path, upstream: Upstream, workers: int) -> None:
    secret = tmp_path / "admin-token"
    secret.write_text(ADMIN_TOKEN + "\n")
    with reloading(tmp_path, upstream.url, workers) as r:
        r.write(lambda config: config["admin"].update(token=f"${{file:{secret}}}"))
        r.sighup()
        assert r.gateway.api("GET", "/api/revocations")[0] == 200
        with r.expecting():
            secret.write_text("another one\n")
        assert r.gateway.api("GET", "/api/revocations")[0] == 401
        assert "another one" not in r.gateway.log
        with r.expecting():
            secret.write_text("")
        assert r.gateway.admin("/api/revocations")[0] == 404


@WORKERS
def test_operators_reload_by_the_api_and_are_told_what_is_wrong(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    with reloading(tmp_path, upstream.url, workers) as r:
        address = f"http://127.0.0.1:{r.gateway.admin_port}/api/reload"
        assert fetch(urllib.request.Request(address, method="POST"))[0] == 401
        r.config["routes"][0]["require"] = {"scopes": ["orders:write"]}
        r.file.write_text(json.dumps(r.config))
        assert r.gateway.api("POST", "/api/reload") == (200, {"reloaded": True, "needs_restart": []})
        assert statuses(r.connections()) == {403}

        secret = "too short to be one"
        r.config["issuers"]["corp"] |= {"secret": secret, "jwks": None, "algorithms": ["HS256"]}
        r.config["routes"][0]["upstream"] = "order"
        r.file.write_text(json.dumps(r.config, indent=1))
        status, answer = r.gateway.api("POST", "/api/reload")
        assert status == 422
        problem = next(each for each in answer["problems"] if each["path"] == "routes[0].upstream")
        assert problem["message"] == "there is no upstream order; did you mean orders?"
        assert (problem["file"], problem["column"] > 0) == (str(r.file), True)
        assert r.file.read_text().splitlines()[problem["line"] - 1].strip().startswith('"upstream": "order"')
        assert any(each["path"].startswith("issuers.corp") for each in answer["problems"])
        assert secret not in json.dumps(answer) + r.gateway.log + r.gateway.admin("/readyz")[1]
        assert statuses(r.connections()) == {403}


# --- what is not taken -------------------------------------------------------------------------------------------


@WORKERS
def test_a_bad_file_changes_nothing_and_is_told_of_until_it_is_mended(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    with reloading(tmp_path, upstream.url, workers) as r:
        good = r.file.read_text()
        assert r.readyz() == (200, {"state": "current"})
        assert r.gateway.metric("gateway_config_last_reload_successful") == 1
        taken_at = r.gateway.metric("gateway_config_last_reload_timestamp_seconds")
        assert abs(taken_at - time.time()) < 300
        with r.expecting(f"{REFUSED}the files have changed), the one before goes on: {r.file}:1:8: "):
            r.write_text("routes:\n")
        assert r.gateway.ask("/orders/1", mint())[0] == 200
        status, report = r.readyz()
        assert (status, report["state"]) == (200, "refused")
        assert report["problem"].startswith(f"{r.file}:1:8: routes: ")
        assert abs(report["since"] - time.time()) < 300
        assert r.gateway.metric("gateway_config_last_reload_successful") == 0
        assert r.gateway.metric("gateway_config_last_reload_timestamp_seconds") == taken_at
        # It is tried once, not again and again.
        r.sighup(REFUSED)
        assert r.count(REFUSED) == 2
        with r.expecting():
            r.write_text(good)
        assert r.readyz() == (200, {"state": "current"})
        assert r.gateway.metric("gateway_config_last_reload_successful") == 1
        assert r.gateway.metric("gateway_config_last_reload_timestamp_seconds") > taken_at


@WORKERS
def test_a_file_that_a_change_needs_and_that_comes_later_makes_it_be_tried_again(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    keys = tmp_path / "keys.json"
    with reloading(tmp_path, upstream.url, workers) as r:
        other = {"issuer": "https://b.example", "audience": AUDIENCE, "jwks_file": str(keys)}
        r.write(lambda config: config["issuers"].update(other=other))
        r.sighup(REFUSED)
        assert r.gateway.reason("/orders/1", mint(iss="https://b.example")) == (401, "issuer_unknown")
        with r.expecting():
            keys.write_text(public_jwks())
        assert r.gateway.ask("/orders/1", mint(iss="https://b.example"))[0] == 200


@WORKERS
def test_what_needs_a_restart_stays_and_the_rest_is_taken(tmp_path: Path, upstream: Upstream, workers: int) -> None:
    with reloading(tmp_path, upstream.url, workers) as r:
        original = r.file.read_text()

        def change(config: dict[str, Any]) -> None:
            requires("orders:write")(config)
            config["listen"] = f"127.0.0.1:{free_port()}"
            config["workers"] = 3
            config["admin"]["listen"] = f"127.0.0.1:{free_port()}"
            config["redis"] = {"url": "redis://127.0.0.1:1/0"}

        r.write(change)
        r.sighup("a restart is needed for admin.listen, listen, redis, workers")
        needs = ["admin.listen", "listen", "redis", "workers"]
        assert r.readyz() == (200, {"state": "current", "needs_restart": needs})
        assert r.gateway.ask("/orders/1", mint())[0] == 403
        r.write_text(original)
        r.sighup()
        assert r.readyz() == (200, {"state": "current"})
        # What can't do without the block that is not taken is refused, and so is all else.
        issuer = {"issuer": "https://b.example", "audience": "b", "keys": {"store": "redis"}}
        config = json.loads(original)
        config |= {"redis": {"url": "redis://127.0.0.1:1/0", "secret": "x" * 32}}
        config["issuers"]["b"] = issuer
        r.write_text(json.dumps(config))
        assert r.gateway.api("POST", "/api/reload")[0] == 422
        assert "a restart is needed for redis" in r.readyz()[1]["problem"]


def test_a_worker_that_is_started_later_has_what_was_taken_and_not_what_the_file_says(
    tmp_path: Path, upstream: Upstream
) -> None:
    with reloading(tmp_path, upstream.url, 2) as r:
        r.write(requires("orders:write"))
        r.sighup()
        r.write_text("nonsense")
        r.sighup(REFUSED)
        killed = r.gateway.pids[0]
        os.kill(killed, signal.SIGKILL)
        until(lambda: r.gateway.pids[0] != killed)
        r.gateway.until_whole()
        assert statuses(r.connections()) == {403}
        # SIGHUP to a worker alone is nothing to it.
        os.kill(r.gateway.pids[1], signal.SIGHUP)
        assert statuses(r.connections()) == {403}


def test_a_worker_that_starts_while_all_reload_ends_up_with_the_same(tmp_path: Path, upstream: Upstream) -> None:
    with reloading(tmp_path, upstream.url, 2) as r:
        for scope, status in (("orders:write", 403), (None, 200)):
            killed = r.gateway.pids[0]
            os.kill(killed, signal.SIGKILL)
            until(lambda killed=killed: r.gateway.pids[0] != killed)
            r.write(requires(scope))
            r.sighup()
            r.gateway.until_whole()
            assert statuses(r.connections()) == {status}


# --- WebSockets --------------------------------------------------------------------------------------------------


@WORKERS
async def test_an_open_websocket_goes_on_is_revoked_and_is_held_to_the_new_rules(tmp_path: Path, workers: int) -> None:
    async with ScriptedOrigin(switched(echo)) as origin:
        context = reloading(tmp_path, f"http://127.0.0.1:{origin.port}", workers)
        r: Reloading = await asyncio.to_thread(context.__enter__)
        try:
            address = ("127.0.0.1", r.gateway.port)
            async with (
                websocket(address, "/orders/1", bearer(sub="u1")) as first,
                websocket(address, "/orders/1", bearer(sub="u2", scope="orders:read")) as second,
                websocket(address, "/orders/1", bearer(sub="u3")) as third,
                websocket(address, "/open/x") as public,
            ):
                for client in (first, second, third, public):
                    assert client.status == 101
                # The upstream and the issuer's rules are others now, and everybody may stay.
                r.config["upstreams"]["orders"]["keep_alive"] = "31s"
                r.write(lambda config: config["issuers"]["corp"].update(leeway="31s"))
                await asyncio.to_thread(r.sighup)
                for client in (first, second, third, public):
                    await client.say(b"still here")
                    assert (await client.frame()).payload == b"still here"
                await asyncio.to_thread(r.gateway.api, "POST", "/api/revocations", {"issuer": "corp", "sub": "u1"})
                goodbye = await first.frame()
                assert (goodbye.code, goodbye.payload[2:]) == (1008, b"token_revoked")
                await first.bye(1008)

                def stricter(config: dict[str, Any]) -> None:
                    requires("orders:read")(config)
                    del config["routes"][2]

                r.write(stricter)
                await asyncio.to_thread(r.sighup)
                for client, reason in ((third, b"scope_insufficient"), (public, b"route_not_found")):
                    goodbye = await client.frame()
                    assert (goodbye.code, goodbye.payload[2:]) == (1008, reason)
                    await client.bye(1008)
                await second.say(b"still here")
                assert (await second.frame()).payload == b"still here"
                await second.bye(1000)
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)
