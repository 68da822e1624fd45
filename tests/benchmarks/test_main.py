"""The command line: what it takes, what it says when something is missing, and the short run from end to end."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.__main__ import arguments
from benchmarks.cost import CACHED_JWT, CACHED_OPAQUE, opaque_beside_jwt
from benchmarks.load import Figures, Sample
from benchmarks.servers.gateway import BESIDE
from tests.benchmarks.conftest import needs

ROOT = Path(__file__).resolve().parents[2]


def bench(*words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PATH": path or os.environ["PATH"]}
    command = [str(ROOT / "scripts/bench"), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=300, check=False)


def sample(microseconds: float) -> Sample:
    return Sample(Figures(1_000_000, 1.0, 1.0, 1.0), 1_000_000, microseconds, 50.0)


@pytest.mark.parametrize(
    "words",
    [
        ["--rounds", "0"],
        ["--seconds", "-1"],
        ["--scenario", "unheard-of"],
        ["--server", "squid"],
        ["--outage", "postgres"],
        ["--peers", "--outage", "redis"],
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(words)
    assert ended.value.code == 2


def test_scenarios_and_servers_can_be_picked() -> None:
    options = arguments(["--peers", "--scenario", "idle", "--scenario", "close", "--server", "envoy"])
    assert (options.scenario, options.server) == (["idle", "close"], ["envoy"])


@pytest.mark.parametrize(("opaque", "verdict"), [(34, "within 15 %"), (35, "more than 15 % above")])
def test_each_opaque_round_is_compared_with_the_jwt_round_beside_it(opaque: float, verdict: str) -> None:
    samples = {CACHED_JWT: [sample(30), sample(60)], CACHED_OPAQUE: [sample(opaque), sample(2 * opaque)]}
    assert opaque_beside_jwt(samples).endswith(f": {verdict}.")


def test_what_is_missing_is_named_with_how_to_install_it(tmp_path: Path) -> None:
    for tool in ("bash", "env", "dirname", "taskset"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    if any((Path(folder) / "nginx").exists() for folder in ("/usr/sbin", "/usr/local/sbin")):
        result = bench(path=str(tmp_path))
        assert "missing: wrk." in result.stderr
    else:
        result = bench(path=str(tmp_path))
        assert "missing: nginx wrk." in result.stderr
    assert result.returncode == 2
    assert "scripts/bench --install" in result.stderr


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cores are needed")
@needs("nginx", "wrk", "taskset")
def test_the_short_run_prints_the_floor_a_jwt_and_an_opaque_token(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- scripts/bench -->\n<!-- /scripts/bench -->\n")
    result = bench("--rounds", "1", "--seconds", "1", "--into", str(page), "--command", str(BESIDE))
    assert result.returncode == 0, result.stderr
    rows = [line.split("|")[1].strip() for line in result.stdout.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["nginx, no check", CACHED_JWT, CACHED_OPAQUE]
    assert result.stdout.strip() in page.read_text()
