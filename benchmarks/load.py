"""Loads a server with wrk for some seconds; a round in which one answer was not the wanted one gives no figure."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import usage
from benchmarks.processes import Process
from benchmarks.upstream import Upstream

SCRIPT = Path(__file__).with_name("load.lua")


class LoadError(Exception):
    """wrk failed, or a response was not the wanted one."""


@dataclass(frozen=True)
class Traffic:
    """What wrk sends: a file of requests (see `requests.write`), and the status that each of them has to get."""

    requests: Path
    status: int = 200
    connections: int = 32


@dataclass(frozen=True)
class Figures:
    """What wrk counted. Latencies are in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class Sample:
    """One round of one server. `cpu_seconds` and `memory` (MiB) are the server's, `requests` all that it answered."""

    figures: Figures
    requests: int
    cpu_seconds: float
    memory: float

    @property
    def microseconds(self) -> float:
        """CPU time of the server for one request."""
        return self.cpu_seconds / self.requests * 1e6

    @property
    def busy(self) -> float:
        """Cores that the server kept busy: 1.0 is one core without a pause."""
        return self.cpu_seconds / self.figures.seconds


def measure(
    server: Process, traffic: Sequence[Traffic], upstream: Upstream, cores: Sequence[int], seconds: int
) -> Sample:
    """One round. With several kinds of traffic all run at once, and the latencies are those of the first.

    Raises `LoadError` when a response had another status than the wanted one, or when the upstream saw another number
    of requests than were answered with success: a server that answers by itself, or lets the refused through.
    """
    upstream_before, before = upstream.settled(), usage.cpu_seconds(server.pid)
    running = [_start(server.port, part, cores, seconds) for part in traffic]
    figures = [_finish(process, part, seconds) for process, part in zip(running, traffic, strict=True)]
    used = usage.cpu_seconds(server.pid) - before
    forwarded = upstream.settled() - upstream_before
    wanted = sum(figure.requests for figure, part in zip(figures, traffic, strict=True) if part.status == 200)
    # wrk stops in the middle: each of its connections may have had one more request on its way.
    if not wanted <= forwarded <= wanted + sum(part.connections for part in traffic if part.status == 200):
        raise LoadError(f"{wanted} requests were to be forwarded, and {forwarded} reached the upstream")
    return Sample(figures[0], sum(figure.requests for figure in figures), used, usage.memory(server.pid))


def _start(port: int, traffic: Traffic, cores: Sequence[int], seconds: int) -> subprocess.Popen[str]:
    command = ["taskset", "-c", ",".join(map(str, cores)), "wrk", f"-t{len(cores)}", f"-c{traffic.connections}"]
    command += [f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}/"]
    command += ["--", str(traffic.requests), str(traffic.status)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str], traffic: Traffic, seconds: int) -> Figures:
    try:
        output, errors = process.communicate(timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise LoadError("wrk did not end in time") from None
    if process.returncode != 0:
        raise LoadError(f"wrk failed: {errors.strip() or output.strip()}")
    return read(output, traffic.status)


def read(output: str, status: int) -> Figures:
    """The figures in the last line of wrk's output. Raises `LoadError` when a response was not the wanted one."""
    try:
        told = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise LoadError(f"wrk printed something else than expected:\n{output}") from None
    count, refused = told["requests"], told["refused"]
    if told["broken"] or told["others"] or refused != (count if status >= 400 else 0) or not count:
        raise LoadError(
            f"not every response was {status}: {count} responses, {refused} of them 400 and up, "
            f"{told['others']} of another status than wanted, {told['broken']} broken connections"
        )
    return Figures(count, told["microseconds"] / 1e6, told["p50"] / 1e3, told["p99"] / 1e3)
