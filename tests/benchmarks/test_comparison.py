"""Scenarios are run against real servers in turns; what fails has a reason instead of a figure."""

from __future__ import annotations

import dataclasses
import os
import socket
import threading
from pathlib import Path

import pytest

from benchmarks.comparison import Outcome, Ratios, Result, compare, pair
from benchmarks.idle import idle_connections
from benchmarks.issuer import Issuer
from benchmarks.load import LoadError
from benchmarks.peers import chosen_peers, chosen_scenarios, run
from benchmarks.requests import Request
from benchmarks.rounds import NO_CHECK, Absent, Effort
from benchmarks.scenarios import SCENARIOS, prefixes
from benchmarks.servers.gateway import BESIDE, gateway
from benchmarks.servers.nginx import NGINX
from benchmarks.servers.peer import Peer, Unsupported
from benchmarks.upstream import Upstream
from tests.benchmarks.conftest import needs

BRIEF = Effort(rounds=1, seconds=1, connections=4)
TWO_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cores are needed")


def outcome(key: str, peer: Peer) -> Outcome:
    return compare(chosen_scenarios([key]), [peer], BRIEF)[key][peer.key]


@TWO_CORES
@needs("nginx", "wrk")
def test_the_gateway_and_the_floor_are_measured_in_one_run(tmp_path: Path) -> None:
    report = run(chosen_scenarios(["one-token"]), chosen_peers(["nginx", "gateway"], BESIDE), BRIEF, tmp_path / "c.png")
    assert not report.faults
    row = next(line for line in report.text.splitlines() if line.startswith("| one token | "))
    floor, ours = (float(cell) for cell in row.strip("| ").split("|")[1:])
    assert 0 < floor < ours
    assert "At most 1.8 times the CPU of nginx" in report.text


@TWO_CORES
@needs("nginx", "wrk")
@pytest.mark.parametrize("key", ["bad-signatures", "flood", "no-token"])
def test_refusals_are_measured_and_nothing_refused_reaches_the_upstream(key: str) -> None:
    found = outcome(key, gateway())
    assert isinstance(found, Result)
    assert found.microseconds > 0


@TWO_CORES
@needs("nginx", "wrk")
def test_two_scenarios_of_one_server_are_measured_in_turns() -> None:
    base, closing = chosen_scenarios(["one-token"])[0], chosen_scenarios(["close"])[0]
    ratios = pair(closing, base, NGINX, BRIEF)
    assert isinstance(ratios, Ratios)
    # A connection for each request costs about as much again, whatever the machine.
    assert ratios.cost > 1.2
    assert pair(chosen_scenarios(["no-token"])[0], base, NGINX, BRIEF) == Absent(NO_CHECK)


@TWO_CORES
@needs("nginx", "wrk")
def test_idle_connections_stay_open_beside_the_load() -> None:
    scenario = dataclasses.replace(chosen_scenarios(["idle"])[0], idle=50)
    found = compare([scenario], [NGINX], BRIEF)["idle"]["nginx"]
    assert isinstance(found, Result)


@TWO_CORES
@needs("nginx", "wrk")
def test_what_a_server_cannot_do_has_its_reason_and_is_no_fault() -> None:
    def refuse(_: object) -> list[str]:
        raise Unsupported("not in this version")

    assert outcome("no-token", NGINX) == Absent(NO_CHECK)
    assert outcome("one-token", dataclasses.replace(NGINX, command=refuse)) == Absent("not in this version")
    assert outcome("one-token", dataclasses.replace(NGINX, program=lambda: None)) == Absent("not installed")


@TWO_CORES
@needs("nginx", "wrk")
def test_a_server_that_should_have_figures_and_has_none_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    ends = dataclasses.replace(NGINX, command=lambda _: ["false"])
    assert outcome("one-token", ends) == Absent("did not start", is_fault=True)
    wrong = dataclasses.replace(chosen_scenarios(["one-token"])[0], status=401)
    assert compare([wrong], [NGINX], BRIEF)["one-token"]["nginx"] == Absent("wrong answers", is_fault=True)
    assert "not every response was 401" in capsys.readouterr().err


@needs("nginx")
def test_an_idle_connection_that_is_closed_is_found_out(api: Upstream) -> None:
    with idle_connections(api.port, 3, Request()):
        pass
    with (
        pytest.raises(LoadError, match="3 of 3 idle connections were closed"),
        idle_connections(api.port, 3, Request(keep_alive=False)),
    ):
        threading.Event().wait(0.2)


def test_an_idle_connection_that_is_refused_is_found_out() -> None:
    def refuse(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 503 Busy\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = threading.Thread(target=refuse, args=(server,))
        answer.start()
        with (
            pytest.raises(LoadError, match="did not get 200"),
            idle_connections(server.getsockname()[1], 1, Request()),
        ):
            pass
        answer.join()


def test_every_scenario_asks_what_its_routes_have(issuer: Issuer) -> None:
    assert len({scenario.key for scenario in SCENARIOS}) == len(SCENARIOS)
    for scenario in SCENARIOS:
        if scenario.key == "many-tokens":
            continue  # ten thousand signatures: half a minute on a busy machine
        requests = scenario.requests(issuer)
        asked = {f"{request.path.rpartition('/')[0]}/" for request in requests}
        assert asked <= set(prefixes(scenario.routes))
        assert {bool(request.token) for request in requests} == {scenario.key != "no-token"}
