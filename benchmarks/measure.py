"""Loads a server with wrk and reads from /proc what the server's processes used of their core."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Server

TICK = 1 / os.sysconf("SC_CLK_TCK")
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


class LoadError(Exception):
    """wrk failed, or the server answered with something else than success."""


@dataclass(frozen=True)
class Sample:
    """One round of one server. Latencies are in milliseconds."""

    requests: int
    cpu_seconds: float
    requests_per_second: float
    p50: float
    p99: float

    @property
    def microseconds(self) -> float:
        """CPU time of the server for one request."""
        return self.cpu_seconds / self.requests * 1e6


@dataclass(frozen=True)
class Result:
    """The medians of all rounds of one server."""

    name: str
    microseconds: float
    requests_per_second: float
    p50: float
    p99: float

    @classmethod
    def of(cls, name: str, samples: Sequence[Sample]) -> Result:
        """The median of each figure by itself."""
        return cls(
            name,
            statistics.median(sample.microseconds for sample in samples),
            statistics.median(sample.requests_per_second for sample in samples),
            statistics.median(sample.p50 for sample in samples),
            statistics.median(sample.p99 for sample in samples),
        )


def cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and of all that descend from it, those already gone included."""
    parents: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name stands in brackets and may hold blanks: count from behind it (proc(5)).
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        child = int(path.parent.name)
        parents.setdefault(int(fields[1]), []).append(child)
        used[child] = sum(int(field) for field in fields[11:15])
    total, left = 0, [pid]
    while left:
        process = left.pop()
        total += used.get(process, 0)
        left += parents.get(process, [])
    return total * TICK


def load(server: Server, core: int, connections: int, seconds: int) -> Sample:
    """One round: wrk on its core against the server. Raises `LoadError`."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if server.authorization:
        command += ["-H", f"Authorization: {server.authorization}"]
    before = cpu_seconds(server.pid)
    done = subprocess.run([*command, server.url], capture_output=True, text=True, timeout=seconds + 30, check=False)
    used = cpu_seconds(server.pid) - before
    if done.returncode != 0:
        raise LoadError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return read_wrk(done.stdout, used)


def read_wrk(text: str, used: float) -> Sample:
    """The figures of `wrk --latency`. Raises `LoadError` when one request did not succeed."""
    for trouble in ("Non-2xx or 3xx responses", "Socket errors"):
        if trouble in text:
            raise LoadError(f"not every request was answered with success:\n{text}")
    return Sample(
        int(_find(r"(\d+) requests in", text)[0]),
        used,
        float(_find(r"Requests/sec:\s+([\d.]+)", text)[0]),
        _milliseconds(text, "50%"),
        _milliseconds(text, "99%"),
    )


def _milliseconds(text: str, percentile: str) -> float:
    value, unit = _find(rf"{percentile}\s+([\d.]+)(us|ms|s|m)\b", text)
    return float(value) * _UNITS[unit]


def _find(pattern: str, text: str) -> Sequence[str]:
    found = re.search(pattern, text)
    if found is None:
        raise LoadError(f"wrk printed something else than expected:\n{text}")
    return found.groups()
