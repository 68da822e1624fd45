"""How many cores may be used, by affinity and by control groups of both versions, as files say it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.process.cores import usable_cores, worker_count

AFFINITY = len(os.sched_getaffinity(0))


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_number_of_workers_is_taken_as_it_is() -> None:
    assert worker_count(7) == 7


def test_auto_is_what_this_process_may_use() -> None:
    assert worker_count("auto") == usable_cores()
    assert 1 <= usable_cores() <= AFFINITY


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == AFFINITY


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, AFFINITY),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "900000 100000\n"}, min(9, AFFINITY)),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/c\n0::/\n",
                "sys/fs/cgroup/cpu/c/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/c/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            AFFINITY,
        ),
    ],
)
def test_a_quota_bounds_it_and_a_part_of_a_core_counts_as_one(
    tmp_path: Path, files: Mapping[str, str], cores: int
) -> None:
    assert usable_cores(tree(tmp_path, files)) == cores


@pytest.mark.parametrize("text", ["", "x\n", "::", "0::/\n\n\n", "0:cpu\n", "\x00"])
@pytest.mark.parametrize("quota", ["", "1", "a b", "100000 0", "0 100000", "-5 -5"])
def test_files_that_say_nothing_are_no_bound(tmp_path: Path, text: str, quota: str) -> None:
    assert usable_cores(tree(tmp_path, {"proc/self/cgroup": text, "sys/fs/cgroup/cpu.max": quota})) == AFFINITY
