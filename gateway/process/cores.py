"""How many cores this process may use: those it may run on, and what its control group is given of them (Linux)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal


def worker_count(workers: int | Literal["auto"]) -> int:
    """How many workers `workers` of the configuration means."""
    return usable_cores() if workers == "auto" else workers


def usable_cores(root: Path = Path("/"), pid: int | str = "self") -> int:
    """At least 1. A part of a core counts as one: half a core that is left unused would be the dearer mistake."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, *map(math.ceil, _quotas(root, pid)), cores))


def _quotas(root: Path, pid: int | str) -> Iterator[float]:
    """The quotas of our control group and of those around it, in cores."""
    for line in _read(root / "proc" / str(pid) / "cgroup").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        mount = root / "sys/fs/cgroup"
        if controllers:
            if "cpu" not in controllers.split(","):
                continue
            mount /= "cpu"  # version 1: a tree for each controller; `cpu` leads to the one it shares
        # In a container the path may be the host's, and its own group is then at the top of the mount.
        for folder in (mount, *_folders(mount, group)):
            quota, period = [*_read(folder / "cpu.max").split(), "", ""][:2]
            if controllers:
                quota, period = (_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
            if quota.isdigit() and period.isdigit() and int(quota) and int(period):
                yield int(quota) / int(period)


def _folders(mount: Path, group: str) -> Iterator[Path]:
    folder = mount
    for name in group.split("/"):
        if name not in ("", ".."):
            folder /= name
            yield folder


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
