"""scripts/ and .ci/run, run as processes in a made-up checkout whose path has a space in it.

Programs that they call are small stand-ins which write down how they were called: what is tested is what a script does
on a machine without Redis, Chromium or Node.js, or where a step fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = (
    "bash",
    "env",
    "sh",
    "dirname",
    "mktemp",
    "rm",
    "cat",
    "cmp",
    "cp",
    "head",
    "grep",
    "sed",
    "chmod",
    "ln",
    "mkdir",
)


class Machine:
    """A checkout with our scripts, and a PATH that holds nothing but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "a checkout"
        self.programs = folder / "bin"
        self.calls = folder / "calls"
        self.calls.touch()
        self.programs.mkdir()
        for tool in TOOLS:
            (self.programs / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
        for script in ("scripts/test", "scripts/check", ".ci/run"):
            (self.checkout / script).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / script, self.checkout / script)
        self.install("scripts/setup", "echo words of the set-up")
        self.install(".venv/bin/python", "echo 1 passed in 0.01s")

    def install(self, name: str, body: str = "", code: int = 0) -> None:
        """A program on the PATH, or in the checkout when its name is a path, that runs `body` and exits with `code`."""
        path = self.checkout / name if "/" in name else self.programs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.calls}"\n{body}\nexit {code}\n')
        path.chmod(0o755)

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": str(self.programs), "HOME": str(self.programs)}
        command = [str(self.checkout / script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environ, cwd="/", timeout=30, check=False)

    def called(self, start: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.startswith(start)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


PACKAGES = ("redis-server", "chromium")


def install_packages(machine: Machine, *missing: str) -> None:
    for package in PACKAGES:
        if package not in missing:
            machine.install(package)


def install_apt(machine: Machine, package: str, code: int = 0) -> None:
    machine.install("apt-get", f'echo words of apt; ln -s /bin/true "{machine.programs}/{package}"', code)


def test_the_tests_run_after_a_quiet_set_up_and_get_the_arguments(machine: Machine) -> None:
    install_packages(machine)
    result = machine.run("scripts/test", "-k", "two words")
    assert (result.returncode, result.stdout, result.stderr) == (0, "1 passed in 0.01s\n", "")
    assert machine.called("scripts/setup") == ["scripts/setup --test"]
    assert machine.called(".venv/bin/python")[0].endswith("--dist worksteal -k two words")


def test_a_failed_set_up_is_shown_and_no_test_runs(machine: Machine) -> None:
    machine.install("scripts/setup", "echo words of the set-up", code=1)
    result = machine.run("scripts/test")
    assert result.returncode != 0
    assert "words of the set-up" in result.stderr
    assert machine.called(".venv/bin/python") == []


def test_failed_tests_are_a_failed_script(machine: Machine) -> None:
    install_packages(machine)
    machine.install(".venv/bin/python", code=1)
    assert machine.run("scripts/test").returncode == 1


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("user", ["root", "sudo"])
def test_a_missing_package_is_installed_where_the_user_may(machine: Machine, user: str, package: str) -> None:
    install_packages(machine, package)
    install_apt(machine, package)
    machine.install("id", f"echo {0 if user == 'root' else 1000}")
    machine.install("sudo", 'shift; "$@"')
    result = machine.run("scripts/test")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"install -y --no-install-recommends {package}" in machine.called("apt-get")[0]
    assert len(machine.called("apt-get")) == 1
    assert bool(machine.called("sudo -n env")) == (user == "sudo")


def test_any_browser_of_that_kind_will_do(machine: Machine) -> None:
    install_packages(machine, "chromium")
    machine.install("google-chrome")
    assert machine.run("scripts/test").stderr == ""


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    ("has_apt", "user", "apt_code", "reason"),
    [
        (False, 0, 0, "no apt-get"),
        (True, 1000, 0, "may not install packages"),
        (True, 0, 1, "words of apt"),
    ],
)
def test_without_it_the_tests_run_all_the_same_and_the_reason_is_said(
    machine: Machine, has_apt: bool, user: int, apt_code: int, reason: str, package: str
) -> None:
    install_packages(machine, package)
    machine.install("id", f"echo {user}")
    machine.install("sudo", code=1)
    if has_apt:
        install_apt(machine, package, apt_code)
    result = machine.run("scripts/test")
    assert reason in result.stderr
    assert f"{package} is missing" in result.stderr
    assert "tests that need it are skipped" in result.stderr
    assert (result.returncode, result.stdout) == (0, "1 passed in 0.01s\n")


@pytest.mark.parametrize("npm_code", [0, 1])
def test_the_packages_of_the_interoperability_test_are_installed_once(machine: Machine, npm_code: int) -> None:
    install_packages(machine)
    folder = machine.checkout / "tests/interop/oidc-provider"
    (folder / "node_modules").mkdir(parents=True)
    (folder / "package-lock.json").write_text("{}")
    machine.install("node")
    machine.install("npm", code=npm_code)
    results = [machine.run("scripts/test") for _ in range(2)]
    assert [result.returncode for result in results] == [0, 0]
    assert len(machine.called("npm ci")) == 1 + npm_code
    assert ("that test is skipped" in results[0].stderr) == bool(npm_code)


def test_without_node_the_interoperability_test_is_said_to_be_skipped(machine: Machine) -> None:
    install_packages(machine)
    folder = machine.checkout / "tests/interop/oidc-provider"
    folder.mkdir(parents=True)
    (folder / "package-lock.json").write_text("{}")
    assert "Node.js with npm is missing" in machine.run("scripts/test").stderr


def with_chart(machine: Machine) -> None:
    install_packages(machine)
    (machine.checkout / "helm").mkdir()


@pytest.mark.parametrize("code", [0, 1])
def test_what_renders_the_chart_is_built_where_go_is(machine: Machine, code: int) -> None:
    with_chart(machine)
    machine.install("go")
    machine.install("scripts/tools", "echo words of go", code)
    result = machine.run("scripts/test")
    assert result.returncode == 0
    assert machine.called("scripts/tools") == ["scripts/tools "]
    assert ("tests of the chart are skipped" in result.stderr) == bool(code)
    assert ("words of go" in result.stderr) == bool(code)


def test_without_go_the_tests_of_the_chart_are_said_to_be_skipped(machine: Machine) -> None:
    with_chart(machine)
    machine.install("scripts/tools")
    result = machine.run("scripts/test")
    assert (result.returncode, machine.called("scripts/tools")) == (0, [])
    assert "Go is missing" in result.stderr


@pytest.mark.parametrize("go_code", [0, 1])
def test_the_chart_programs_are_built_once_of_pinned_versions(machine: Machine, go_code: int) -> None:
    shutil.copy(ROOT / "scripts/tools", machine.checkout / "scripts/tools")
    machine.install("go", 'test "$GOBIN" = "$PWD/.tools"', go_code)
    results = [machine.run("scripts/tools") for _ in range(2)]
    assert [bool(result.returncode) for result in results] == [bool(go_code)] * 2
    built = machine.called("go install -trimpath")
    assert len(built) == 2  # both programs once, or the first one twice
    assert all("@v" in call for call in built)


def test_without_go_the_chart_programs_are_not_built(machine: Machine) -> None:
    shutil.copy(ROOT / "scripts/tools", machine.checkout / "scripts/tools")
    result = machine.run("scripts/tools")
    assert (result.returncode, "Go is needed" in result.stderr) == (1, True)
    assert not (machine.checkout / ".tools").exists()


def test_every_check_runs_and_every_failure_is_shown(machine: Machine) -> None:
    machine.install(".venv/bin/python", 'case "$*" in *mypy*|*format*) echo words of $2 $3; exit 1;; esac')
    result = machine.run("scripts/check")
    assert result.returncode == 1
    assert result.stdout.count("FAILED") == 2
    assert "words of mypy" in result.stdout
    assert "words of ruff format" in result.stdout
    assert "skipped shellcheck is not installed" in result.stdout
    assert "ok      architecture" in result.stdout
    assert result.stdout.endswith("2 of its steps failed\n")


def test_the_bash_scripts_alone_go_to_shellcheck(machine: Machine) -> None:
    machine.install("shellcheck")
    (machine.checkout / "scripts/other.py").write_text('"""Python."""\n')
    assert machine.run("scripts/check").returncode == 0
    assert machine.called("shellcheck") == ["shellcheck scripts/check scripts/test .ci/run"]


@pytest.mark.parametrize(("check", "test", "code"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (2, 5, 1)])
def test_ci_fails_when_either_failed_and_ends_with_the_line_of_pytest(
    machine: Machine, check: int, test: int, code: int
) -> None:
    machine.install("scripts/check", "echo checked", check)
    machine.install("scripts/test", "echo 1 passed in 0.01s", test)
    result = machine.run(".ci/run")
    assert result.returncode == code
    said = ".ci/run: what failed is run once more, one test at a time; what fails again has failed\n"
    again = f"{said}1 passed in 0.01s\n" if test == 1 else ""
    assert result.stdout == f"checked\n1 passed in 0.01s\n{again}"


PROJECT = """
[build-system]
requires = ["hatchling>=1.27"]
[project]
name = "made-up"
dependencies = ["aiohttp>=3.14", "Ruamel_Yaml>=1; sys_platform != 'win32'"]
[project.optional-dependencies]
test = ["pytest>=9"]
docs = []
otel = []
"""
HASH = " \\\n    --hash=sha256:00\n"
LOCK = f"aiohttp==3.14.5{HASH}ruamel-yaml==1.2 ; sys_platform != 'win32'{HASH}"
BUILD_LOCK = f"hatchling==1.33.0{HASH}"


def check_files(what: str, root: Path, **environ: str) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "scripts/check_files.py"), what, str(root)]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environ}, timeout=30, check=False
    )
    return result.returncode, result.stdout


@pytest.mark.parametrize(
    ("lock", "test_lock", "problem"),
    [
        (LOCK, f"{LOCK}pytest==9.2.0{HASH}", ""),
        (LOCK, LOCK, "requirements-test.lock: pytest is missing"),
        (LOCK, f"{LOCK}pytest==8.0.0{HASH}", "pytest 8.0.0 does not fit >=9"),
        (LOCK.replace("3.14.5", "3.13"), f"{LOCK}pytest==9.2.0{HASH}", "aiohttp 3.13 does not fit >=3.14"),
        (LOCK.replace("3.14.5", "3.14.6"), f"{LOCK}pytest==9.2.0{HASH}", "aiohttp is not the version of"),
        (LOCK, f"{LOCK}pytest==9.2.0\n", "pytest has no hash"),
        (LOCK, f"{LOCK}pytest>=9.2.0{HASH}", "pytest is not pinned"),
        (f"--no-binary x\n{LOCK}", f"{LOCK}pytest==9.2.0{HASH}", "is no pinned requirement"),
    ],
)
def test_a_lock_that_does_not_fit_is_found(tmp_path: Path, lock: str, test_lock: str, problem: str) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "requirements.lock").write_text(lock)
    (tmp_path / "requirements-test.lock").write_text(test_lock + BUILD_LOCK)
    (tmp_path / "requirements-build.lock").write_text(BUILD_LOCK)
    code, output = check_files("locks", tmp_path)
    assert code == bool(problem)
    assert problem in output
    assert bool(output) == bool(problem)


@pytest.mark.parametrize(
    ("lock", "problem"),
    [
        (BUILD_LOCK, ""),
        (LOCK, "hatchling is missing"),
        (BUILD_LOCK.replace("1.33", "1.26"), "hatchling 1.26.0 does not fit >=1.27"),
        (BUILD_LOCK.replace("1.33", "1.34"), "hatchling is not the version of requirements-test.lock"),
        ("hatchling==1.33.0\n", "hatchling has no hash"),
    ],
)
def test_what_builds_is_locked_too(tmp_path: Path, lock: str, problem: str) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "requirements.lock").write_text(LOCK)
    (tmp_path / "requirements-test.lock").write_text(f"{LOCK}pytest==9.2.0{HASH}{BUILD_LOCK}")
    (tmp_path / "requirements-build.lock").write_text(lock)
    code, output = check_files("locks", tmp_path)
    assert code == bool(problem)
    assert all(line.startswith("requirements-build.lock: ") for line in output.splitlines())
    assert problem in output


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://files.python" + "hosted.org/packages", True),
        ("registry.npm" + "js.org", True),
        ("https://mirror.example/simple", True),
        ("wheels are in /far/wheels/", True),
        ("written at {checkout}/gateway", True),
        ("written in {checkout}", True),
        ("/etc/oauth-gateway, /api{checkout} and https://login.example.com", False),
    ],
)
def test_an_address_or_path_of_this_machine_is_found(tmp_path: Path, text: str, found: bool) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    subprocess.run(["git", "init", "-q", str(checkout)], check=True)
    (checkout / ".gitignore").write_text("ignored\n")
    for name in ("notes.md", "ignored"):
        (checkout / name).write_text(f"first\n{text.format(checkout=checkout)}\n")
    index = "https://user:secret@mirror.example/simple"
    code, output = check_files(
        "addresses", checkout, PIP_INDEX_URL=index, PIP_FIND_LINKS="/far/wheels", HOME="/somewhere/else"
    )
    assert code == found
    assert [line.partition(": ")[0] for line in output.splitlines()] == (["notes.md:2"] if found else [])
    assert "secret" not in output
