"""CPU time and memory are those of a process and all of its descendants."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.usage import cpu_seconds, family, memory

BURN = "import time\nwhile time.process_time() < 0.1: pass"
HOLD = "held = b'x' * (64 << 20)"


@contextlib.contextmanager
def child(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has run `code` and waits."""
    waiting = f"{code}\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", waiting], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate(b"\n")


def test_the_time_of_a_child_counts_while_it_runs_and_afterwards() -> None:
    before = cpu_seconds(os.getpid())
    with child(BURN):
        while_it_runs = cpu_seconds(os.getpid())
    assert while_it_runs - before >= 0.08
    assert cpu_seconds(os.getpid()) >= while_it_runs


def test_the_memory_of_a_child_counts() -> None:
    with child("") as small, child(HOLD) as large:
        assert memory(large.pid) - memory(small.pid) == pytest.approx(64, abs=8)
        assert memory(os.getpid()) > memory(large.pid)


def test_a_family_is_a_process_and_its_descendants() -> None:
    with child("") as one, child("") as other:
        assert {os.getpid(), one.pid, other.pid} <= family(os.getpid())
        assert family(one.pid) == {one.pid}


def test_a_process_that_is_gone_uses_nothing() -> None:
    with child("") as process:
        pass
    assert cpu_seconds(process.pid) == memory(process.pid) == 0
