"""The machine and its cores: which of them is measured, which makes the load, and what stands below the figures."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import first_line


@dataclass(frozen=True)
class Cores:
    """The cores of what is measured, and those of the load with the upstream."""

    measured: tuple[int, ...]
    load: tuple[int, ...]

    @classmethod
    def for_workers(cls, workers: int, available: Sequence[int] | None = None) -> Cores:
        """A core for each worker and as many again for the load; where there are fewer, one and one.

        Raises ValueError when there are not even two.
        """
        cores = sorted(os.sched_getaffinity(0) if available is None else available)
        if len(cores) < 2:
            raise ValueError("two cores are needed: one for what is measured, one for the load and the upstream")
        count = workers if len(cores) >= 2 * workers else 1
        return cls(tuple(cores[:count]), tuple(cores[count : 2 * count]))

    def are_enough_for(self, workers: int) -> bool:
        """Whether each worker has a core of its own."""
        return len(self.measured) >= workers


def processor() -> str:
    """The processor's name as Linux knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def version_of(package: str) -> str:
    """The installed version of a package, or that there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def circumstances(versions: Iterable[str], load: float) -> str:
    """Date, machine and versions: without them the figures mean nothing. `load`: how busy the machine was before."""
    today = datetime.datetime.now(datetime.UTC).date()
    packages = [f"{name} {version_of(name)}" for name in ("uvloop", "httptools", "aiohttp", "PyJWT")]
    wrk = " ".join(first_line("wrk", "-v").split()[:2])
    return "; ".join(
        [
            f"{today}, {processor()}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}",
            f"load average {load:.1f} at the start",
            *versions,
            f"Python {platform.python_version()}",
            *packages,
            wrk,
        ]
    )
