"""An issuer, an upstream and servers to measure, all real; skipped where a program is not installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.issuer import Issuer
from benchmarks.processes import find
from benchmarks.upstream import Upstream, upstream

CORES = sorted(os.sched_getaffinity(0))[-1:]
"""One will do: nothing is measured here but whether it is measured rightly."""


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips where a program is missing."""
    missing = [program for program in programs if find(program) is None]
    return pytest.mark.skipif(
        bool(missing), reason=f"{', '.join(missing)} missing; scripts/bench --install installs it"
    )


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


@pytest.fixture
def api(tmp_path: Path, issuer: Issuer) -> Iterator[Upstream]:
    with upstream(CORES, tmp_path, issuer) as running:
        yield running
