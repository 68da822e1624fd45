"""What a process and all that descend from it use, read from /proc: CPU time and memory (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
MIB = 2**20


def cpu_seconds(pid: int) -> float:
    """User and system time so far, also of descendants that have ended and were waited for."""
    used = {child: ticks for child, _, ticks in _processes()}
    return sum(used.get(process, 0) for process in family(pid)) * TICK


def memory(pid: int) -> float:
    """Memory in MiB that the processes have to themselves, and their share of what they have in common (PSS)."""
    return sum(map(_proportional, family(pid))) / MIB


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for child, parent, _ in _processes():
        children.setdefault(parent, []).append(child)
    found, left = set(), [pid]
    while left:
        process = left.pop()
        found.add(process)
        left += children.get(process, [])
    return found


def _processes() -> Iterator[tuple[int, int, int]]:
    """Number, parent and used ticks of each process."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name stands in brackets and may hold blanks: count from behind it.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        yield int(path.parent.name), int(fields[1]), sum(int(field) for field in fields[11:15])


def _proportional(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0  # it has just ended
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
