"""The benchmark counts what it says it counts, and does not call errors fast."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.__main__ import table
from benchmarks.measure import LoadError, Result, Sample, cpu_seconds, read_wrk

WRK = """Running 2s test @ http://127.0.0.1:41041/orders/42
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   287.24us   71.93us   2.59ms   83.01%
    Req/Sec    91.54k     3.01k   95.15k    85.71%
  Latency Distribution
     50%  281.00us
     75%  321.00us
     90%  361.00us
     99%    1.50ms
  191228 requests in 2.10s, 36.47MB read
Requests/sec:  91058.71
Transfer/sec:     17.37MB
"""


def test_the_figures_of_wrk_are_read() -> None:
    sample = read_wrk(WRK, 1.91228)
    assert sample == Sample(191228, 1.91228, 91058.71, 0.281, 1.5)
    assert sample.microseconds == pytest.approx(10)


@pytest.mark.parametrize(
    "text",
    [
        WRK + "  Non-2xx or 3xx responses: 1\n",
        WRK + "  Socket errors: connect 0, read 7, write 0, timeout 0\n",
        "",
    ],
)
def test_a_round_with_errors_does_not_count(text: str) -> None:
    with pytest.raises(LoadError):
        read_wrk(text, 1.0)


def test_the_time_of_a_child_counts_while_it_runs_and_afterwards() -> None:
    burn = "import time\nwhile time.process_time() < 0.1: pass\nprint(flush=True)\ninput()"
    before = cpu_seconds(os.getpid())
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        while_it_runs = cpu_seconds(os.getpid())
        child.communicate(b"\n")
    assert while_it_runs - before >= 0.08
    assert cpu_seconds(os.getpid()) >= while_it_runs


def test_the_first_row_is_what_the_others_are_compared_with() -> None:
    rows = table([Result("floor", 10.0, 90000.0, 0.2, 0.5), Result("gateway", 25.0, 40000.0, 0.7, 1.0)]).splitlines()
    assert [row.split("|")[-2].strip() for row in rows[2:]] == ["1.00", "2.50"]
