"""Several workers and their supervisor as real processes: what they share, and what clients see when one ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.crew import PATIENCE, Crew, Load, Upstream, configuration, crew, is_alive, is_worker, taken_port, until
from tests.flow.test_backchannel_logout import ADDRESS, logout_token
from tests.redis_servers import redis_node
from tests.services import free_port
from tests.world import mint

Connections = list[http.client.HTTPConnection]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path, upstream: Upstream) -> Iterator[Crew]:
    with crew(tmp_path, configuration(upstream.url)) as running:
        yield running


def status(connection: http.client.HTTPConnection, token: str) -> int:
    connection.request("GET", "/orders/1", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def statuses(connections: Connections, token: str) -> set[int]:
    return {status(connection, token) for connection in connections}


def post(gateway: Crew, token: str) -> int:
    connection = gateway.connection()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", ADDRESS, urlencode({"logout_token": token}), form)
    answer = connection.getresponse().status
    connection.close()
    return answer


def program(line: str) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(line)
    return entry


# --- what they do together ---------------------------------------------------------------------------------------


def test_two_workers_serve_one_port_and_their_figures_add_up(gateway: Crew) -> None:
    connections = gateway.connections_to_all()
    assert len(set(gateway.pids.values())) == 2
    assert gateway.ready()["workers"] == {"0": "ready", "1": "ready"}
    before = gateway.metric("gateway_requests_total")
    token = mint()
    for _ in range(10):
        assert statuses(connections, token) == {200}
    assert gateway.metric("gateway_requests_total", 'route="orders"') == 20
    assert gateway.metric("gateway_requests_total") == before + 20
    assert gateway.metric("gateway_request_duration_seconds_count", 'route="orders"') == 20
    assert gateway.metric("gateway_connections") == 2
    assert gateway.metric("gateway_build_info") == 1
    assert gateway.metric("gateway_workers") == 2
    # Each worker verified it once.
    assert gateway.metric("gateway_cache_operations_total", 'cache="token",result="miss"') == 2
    assert "pid" not in gateway.admin("/metrics")[1]


def test_a_revocation_holds_at_every_worker_when_its_answer_is_there_and_until_it_is_withdrawn(gateway: Crew) -> None:
    connections = gateway.connections_to_all()
    token = mint(jti="t1")
    assert statuses(connections, token) == {200}
    made, entry = gateway.api("POST", "/api/revocations", {"issuer": "corp", "jti": "t1"})
    assert statuses(connections, token) == {401}
    assert (made, entry["delivered"]) == (201, True)
    assert gateway.api("GET", "/api/revocations") == (200, {"revocations": [entry]})
    assert gateway.metric("gateway_revocations") == 1
    assert gateway.api("DELETE", f"/api/revocations/{entry['id']}") == (204, None)
    assert statuses(connections, token) == {200}
    assert gateway.api("DELETE", f"/api/revocations/{entry['id']}")[0] == 404
    assert gateway.api("GET", "/api/revocations") == (200, {"revocations": []})


def test_a_logout_token_that_one_worker_took_counts_at_all_of_them_and_only_once(gateway: Crew) -> None:
    connections = gateway.connections_to_all()
    seconds = []
    for subject in ("u1", "u2", "u3"):
        token = mint(iat=int(time.time()) - 5, sub=subject)
        assert statuses(connections, token) == {200}
        told = logout_token(sub=subject)
        answers = [post(gateway, told)]
        started = time.monotonic()
        until(lambda token=token: statuses(connections, token) == {401})
        seconds.append(time.monotonic() - started)
        answers += [post(gateway, told) for _ in range(10)]
        assert answers == [200] + [400] * 10
    # Once the machine may have been busy with something else.
    assert sorted(seconds)[1] < 1


def test_operators_are_answered_by_one_worker_or_by_all(gateway: Crew) -> None:
    asked = {"method": "GET", "url": "/orders/1", "token": mint()}
    told = gateway.api("POST", "/api/explain", asked)[1]
    assert (told["allowed"], told["route"]) == (True, "orders")
    assert gateway.api("POST", "/api/explain", {"url": "/x"})[0] == 400
    assert gateway.api("POST", "/api/keys/refresh") == (200, {"issuers": {"corp": "ok"}})
    assert gateway.api("POST", "/api/keys/refresh", {"issuer": "other"})[0] == 400
    assert gateway.api("POST", "/api/revocations", {"issuer": "other", "sub": "x"})[0] == 400


def test_a_unix_socket_is_shared_and_its_file_goes_with_the_gateway(tmp_path: Path, upstream: Upstream) -> None:
    path = tmp_path / "s"
    with crew(tmp_path, configuration(upstream.url), also=f"unix:{path}") as gateway:
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(str(path))
                client.sendall(b"GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        os.kill(gateway.pids[0], signal.SIGKILL)
        gateway.until_whole()
        assert path.is_socket()
    assert not path.exists()


def test_the_connections_that_are_allowed_are_shared_out(tmp_path: Path, upstream: Upstream) -> None:
    with crew(tmp_path, configuration(upstream.url, limits={"connections": 4})) as gateway:

        def status_of_another() -> int:
            connection = gateway.connection()
            try:
                connection.request("GET", "/open/x")
                return connection.getresponse().status
            except ConnectionError:
                return 503  # refused and closed before the request was sent

        for _ in range(4):
            until(lambda: status_of_another() == 200)
        assert {status_of_another() for _ in range(20)} == {503}
        until(lambda: gateway.metric("gateway_connections") == 4)


def test_lines_of_the_log_stay_whole_when_all_write_at_once(gateway: Crew) -> None:
    with Load(gateway.port, f"/open/{'x' * 6000}", threads=8) as load:
        load.until(400)
    lines = [line for line in gateway.log.splitlines() if '"event":"request"' in line]
    assert len(lines) >= 400
    assert {len(program(line)["path"]) for line in lines} == {6006}
    assert {program(line).get("worker") for line in gateway.log.splitlines()} == {None}


# --- when a worker ends ------------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_no_connection_is_refused_meanwhile(gateway: Crew) -> None:
    entry = gateway.api("POST", "/api/revocations", {"issuer": "corp", "jti": "t1"})[1]
    highest = 0.0
    with Load(gateway.port) as load:
        load.until(50)
        killed = gateway.pids[0]
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while gateway.pids[0] == killed or set(gateway.ready()["workers"].values()) != {"ready"}:
            assert time.monotonic() < deadline, "no worker has taken its place"
            counted = gateway.metric("gateway_requests_total")
            assert counted >= highest
            highest = counted
        load.until(50)
    # What was in flight at the killed one is lost, and nothing else.
    assert load.outcomes["reset"] <= 4
    assert load.outcomes["refused"] == load.outcomes["silent"] == 0
    assert gateway.metric("gateway_worker_restarts_total") == 1
    assert gateway.metric("gateway_workers") == 2
    until(lambda: f'"event":"worker 0, process {killed}, ended: signal SIGKILL"' in gateway.log)
    # The new one knows what was revoked before.
    assert statuses(gateway.connections_to_all(), mint(jti="t1")) == {401}
    assert gateway.api("GET", "/api/revocations") == (200, {"revocations": [entry]})


def test_what_a_killed_worker_had_counted_is_kept(gateway: Crew) -> None:
    connections = gateway.connections_to_all()
    for connection in connections * 10:
        assert status(connection, mint()) == 200
    expected = gateway.metric("gateway_requests_total", 'route="orders"')
    assert expected == 20
    for pid in gateway.pids.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: gateway.metric("gateway_worker_restarts_total") == 2)
    assert gateway.metric("gateway_requests_total", 'route="orders"') == 20
    gateway.until_whole()
    assert gateway.ask("/orders/1", mint())[0] == 200
    until(lambda: gateway.metric("gateway_requests_total", 'route="orders"') == 21)


def test_figures_are_told_also_when_nobody_asks(gateway: Crew) -> None:
    for _ in range(10):
        assert gateway.ask("/orders/1", mint())[0] == 200
    time.sleep(5)  # nobody scrapes: what has to happen can't be looked at
    for pid in gateway.pids.values():
        os.kill(pid, signal.SIGKILL)
    assert gateway.metric("gateway_requests_total", 'route="orders"') == 10


def test_when_all_workers_are_killed_connections_wait_for_the_next(gateway: Crew) -> None:
    for pid in gateway.pids.values():
        os.kill(pid, signal.SIGKILL)
    assert [gateway.ask("/open/x")[0] for _ in range(10)] == [200] * 10


def test_a_worker_that_can_not_start_does_not_spin_and_others_take_its_connections(
    tmp_path: Path, upstream: Upstream
) -> None:
    keys = tmp_path / "keys.json"
    config = configuration(upstream.url)
    keys.write_text(json.dumps(config["issuers"]["corp"].pop("jwks")))
    config["issuers"]["corp"]["jwks_file"] = str(keys)
    with crew(tmp_path, config) as gateway:
        good = keys.read_text()
        keys.write_text("{}")
        os.kill(gateway.pids[0], signal.SIGKILL)
        until(lambda: len(gateway.started[0]) >= 3, told=lambda: gateway.log)
        assert gateway.admin("/readyz")[0] == 200
        assert gateway.ready()["workers"]["1"] == "ready"
        assert {gateway.ask("/open/x")[0] for _ in range(20)} == {200}
        assert "ended: exit status 2" in gateway.log
        assert f"{keys}" in gateway.log or "issuers.corp.jwks_file" in gateway.log
        times = [program(line)["ts"] for line in gateway.log.splitlines() if "worker 0 started as process" in line]
        assert len(times) == len(set(times))
        keys.write_text(good)
        gateway.until_whole()


def test_a_worker_that_is_sent_sigterm_finishes_and_is_replaced(gateway: Crew, upstream: Upstream) -> None:
    ended = gateway.pids[1]
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(gateway.ask("/slow/x")[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
        assert upstream.waiting.acquire(timeout=30)
    with Load(gateway.port) as load:
        load.until(20)
        os.kill(ended, signal.SIGTERM)
        until(lambda: gateway.pids[1] != ended)
        gateway.until_whole()
        load.until(20)
        upstream.go.set()
    for thread in threads:
        thread.join(30)
    assert answers == [200] * 8
    until(lambda: not is_worker(ended))
    assert set(load.outcomes) == {200}
    until(lambda: f'"event":"worker 1, process {ended}, ended: exit status 0"' in gateway.log)


def test_sigusr2_replaces_every_worker_and_no_request_fails(gateway: Crew) -> None:
    before = gateway.pids
    with Load(gateway.port, threads=2) as single, Load(gateway.port, threads=2, keep_alive=True) as kept:
        single.until(20)
        kept.until(20)
        gateway.process.send_signal(signal.SIGUSR2)
        until(lambda: "all workers were replaced" in gateway.log, told=lambda: gateway.log)
        assert gateway.admin("/readyz")[0] == 200
        until(lambda: not any(map(is_worker, before.values())))
        single.until(20)
        kept.until(20)
    assert set(single.outcomes) == set(kept.outcomes) == {200}
    assert not set(before.values()) & set(gateway.pids.values())
    assert gateway.metric("gateway_worker_restarts_total") == 0
    counted = gateway.metric("gateway_requests_total", 'route="open"')
    assert counted == single.outcomes[200] + kept.outcomes[200]


# --- when the supervisor ends ------------------------------------------------------------------------------------


def test_without_their_supervisor_workers_finish_what_runs_and_end(gateway: Crew, upstream: Upstream) -> None:
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(gateway.ask("/slow/x")[0]))
    thread.start()
    assert upstream.waiting.acquire(timeout=30)
    gateway.process.kill()
    # The one that has nothing to do ends at once; no more connections are taken.
    until(lambda: sum(map(is_worker, gateway.pids.values())) == 1)
    with pytest.raises(OSError, match="refused"):
        until(lambda: gateway.connection().close())
    upstream.go.set()
    thread.join(30)
    assert answers == [200]
    assert gateway.has_ended() == -signal.SIGKILL


def test_not_even_workers_that_hang_in_a_log_that_nobody_reads_outlive_their_supervisor(
    tmp_path: Path, upstream: Upstream
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    config = configuration(upstream.url, timeouts={"drain": "1s"})
    with crew(tmp_path, config, stdout=writer) as gateway:
        for connection in gateway.connections_to_all():
            connection.close()
        gateway.process.kill()
        assert gateway.has_ended() == -signal.SIGKILL
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGTERM, False), (signal.SIGINT, False), pytest.param(signal.SIGTERM, True, id="systemd")],
)
def test_under_load_a_signal_ends_all_workers_without_a_failed_request(
    tmp_path: Path, upstream: Upstream, number: signal.Signals, to_all: bool
) -> None:
    config = configuration(upstream.url, timeouts={"drain_delay": "3s"})
    with crew(tmp_path, config) as gateway, Load(gateway.port) as load:
        load.until(50)
        # systemd sends the signal to every process of a service.
        for pid in gateway.pids.values() if to_all else ():
            os.kill(pid, number)
        gateway.process.send_signal(number)
        until(lambda: gateway.admin("/readyz")[0] == 503)
        assert gateway.ready()["draining"] is True
        load.until(20)  # as long as `drain_delay` lasts
        assert gateway.has_ended() == 0
        load.end()
    assert set(load.outcomes) <= {200, "refused"}


def test_a_second_signal_ends_everything_at_once(gateway: Crew, upstream: Upstream) -> None:
    def ask() -> None:
        with pytest.raises(OSError, match=r"reset|closed|Remote end"):
            gateway.ask("/slow/x")

    thread = threading.Thread(target=ask)
    thread.start()
    assert upstream.waiting.acquire(timeout=30)
    gateway.process.terminate()
    until(lambda: gateway.admin("/readyz")[0] == 503)
    assert is_alive(gateway.process.pid)
    gateway.process.terminate()
    assert gateway.has_ended() == 1
    thread.join(30)


def test_ctrl_c_in_a_terminal_reaches_the_supervisor_alone(gateway: Crew) -> None:
    sessions = {os.getsid(pid) for pid in gateway.pids.values()}
    assert os.getsid(gateway.process.pid) not in sessions
    assert len(sessions) == 2


# --- at the start ------------------------------------------------------------------------------------------------


def serve(
    folder: Path, config: dict[str, Any], listen: Any, admin: str = "127.0.0.1:0"
) -> subprocess.CompletedProcess[str]:
    file = folder / "refused.yaml"
    file.write_text(json.dumps({"listen": listen, "admin": {"listen": admin}, "workers": 2, **config}))
    command = [sys.executable, "-m", "gateway", "serve", "-c", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_an_address_that_is_taken_is_named_before_any_worker_starts(tmp_path: Path) -> None:
    config = configuration("http://127.0.0.1:9")
    with taken_port() as other:
        address = "{}:{}".format(*other.getsockname())
        for refused in (serve(tmp_path, config, address), serve(tmp_path, config, f"127.0.0.1:{free_port()}", address)):
            assert refused.returncode == 1
            expected = f"cannot listen: {address}: Address already in use; another program listens there\n"
            assert refused.stderr.endswith(expected)
            assert "started as process" not in refused.stderr


def test_another_gateway_on_the_same_port_is_refused_and_takes_no_connection(gateway: Crew, tmp_path: Path) -> None:
    refused = serve(tmp_path, configuration("http://127.0.0.1:9"), f"127.0.0.1:{gateway.port}")
    assert refused.returncode == 1
    assert "another program listens there" in refused.stderr


def test_a_configuration_that_can_not_be_built_starts_nothing(tmp_path: Path) -> None:
    config = configuration("http://127.0.0.1:9")
    config["issuers"]["corp"]["jwks"] = {"keys": []}
    refused = serve(tmp_path, config, f"127.0.0.1:{free_port()}")
    assert refused.returncode == 2
    assert "issuers.corp.jwks: can't be used: no key in it" in refused.stderr


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: auto is one worker")
@pytest.mark.parametrize("cores", [1, 2])
def test_auto_is_a_worker_for_each_core_that_may_be_used(tmp_path: Path, upstream: Upstream, cores: int) -> None:
    usable = set(sorted(os.sched_getaffinity(0))[:cores])
    with crew(tmp_path, configuration(upstream.url, workers="auto"), cores=usable) as gateway:
        assert gateway.ask("/open/x")[0] == 200
        # With one worker there is one process, and nobody to supervise.
        assert len(gateway.started) == (0 if cores == 1 else 2)


def test_a_worker_that_says_it_can_not_start_ends_the_start(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    os.mkfifo(keys)
    config = configuration("http://127.0.0.1:9")
    good = json.dumps(config["issuers"]["corp"].pop("jwks"))
    config["issuers"]["corp"]["jwks_file"] = str(keys)

    def feed() -> None:
        """The supervisor reads good keys; whoever reads after it finds none."""
        for text in (good, "{}", "{}"):
            keys.write_text(text)
            time.sleep(0.2)  # until the reader has seen the end

    threading.Thread(target=feed, daemon=True).start()
    refused = serve(tmp_path, config, f"127.0.0.1:{free_port()}")
    assert refused.returncode == 2
    assert "issuers.corp.jwks_file: can't be used" in refused.stderr
    assert refused.stderr.endswith("a worker can't be started; nothing was started\n")


def test_a_package_of_the_same_name_in_the_current_folder_is_not_taken_for_ours(
    tmp_path: Path, upstream: Upstream
) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/__init__.py").write_text("raise SystemExit('somebody else')")
    script = Path(sys.executable).with_name("oauth-gateway")
    if not script.exists():
        pytest.skip("the command is not installed beside this Python")
    with crew(tmp_path, configuration(upstream.url), command=[str(script)], folder_of_process=tmp_path) as gateway:
        assert gateway.ask("/open/x")[0] == 200
        assert "somebody else" not in gateway.log


# --- with Redis --------------------------------------------------------------------------------------------------


def test_what_another_replica_revoked_is_known_to_a_worker_that_starts_while_redis_is_away(
    tmp_path: Path, upstream: Upstream
) -> None:
    for name in ("redis", "a", "b"):
        (tmp_path / name).mkdir()
    with redis_node(tmp_path / "redis") as node:
        config = configuration(upstream.url, redis={"url": node.url})
        with crew(tmp_path / "a", config) as here, crew(tmp_path / "b", config) as there:
            entry = there.api("POST", "/api/revocations", {"issuer": "corp", "jti": "t1"})[1]
            until(lambda: statuses(here.connections_to_all(), mint(jti="t1")) == {401})
            node.kill()
            killed = here.pids[0]
            os.kill(killed, signal.SIGKILL)
            until(lambda: here.pids[0] != killed)
            here.until_whole()
            assert statuses(here.connections_to_all(), mint(jti="t1")) == {401}
            assert [each["id"] for each in here.api("GET", "/api/revocations")[1]["revocations"]] == [entry["id"]]
            made, late = here.api("POST", "/api/revocations", {"issuer": "corp", "jti": "t2"})
            assert (made, late["delivered"]) == (201, False)
            assert statuses(here.connections_to_all(), mint(jti="t2")) == {401}
            node.start()
            until(lambda: statuses(there.connections_to_all(), mint(jti="t2")) == {401})
            listed: Callable[[], Any] = lambda: here.api("GET", "/api/revocations")[1]["revocations"]  # noqa: E731
            until(lambda: all(each["delivered"] for each in listed()))
            assert len(listed()) == 2
