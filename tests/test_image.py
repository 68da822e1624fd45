"""The container image: what its Dockerfile says, and its steps, run in a clean folder without a container engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SECONDS = 600
# What pip says when there is nothing to install from.
OFFLINE = re.compile(r"No matching distribution|Could not fetch|ConnectionError|Temporary failure|NewConnectionError")


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage: name and arguments."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = [[]]
    for line in filter(None, text.splitlines()):
        name, _, arguments = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, arguments.strip()))
    return found[1:]


def of_last_stage(name: str) -> str:
    """The arguments of the one instruction of that name."""
    (arguments,) = [arguments for found, arguments in stages()[-1] if found == name]
    return arguments


def test_the_image_needs_neither_root_nor_a_shell() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", of_last_stage("USER"))
    assert json.loads(of_last_stage("ENTRYPOINT")) == ["oauth-gateway"]
    assert json.loads(of_last_stage("CMD")) == ["serve"]
    assert json.loads(of_last_stage("HEALTHCHECK").partition(" CMD ")[2]) == ["oauth-gateway", "health"]
    assert "RUN" not in [name for name, _ in stages()[-1]]


def test_the_image_is_made_of_nothing_but_what_was_built_from_the_locks() -> None:
    assert [a for name, a in stages()[-1] if name == "COPY"] == ["--from=build /opt/oauth-gateway /opt/oauth-gateway"]
    installs = re.findall(r"pip\S*(?: --python \S+)? install([^&]*)", " ".join(a for n, a in stages()[0] if n == "RUN"))
    assert len(installs) == 3
    assert all("--require-hashes" in options or "--no-index" in options for options in installs)
    assert {arguments.partition(" AS ")[0] for stage in stages() for name, arguments in stage if name == "FROM"} == {
        "${PYTHON_IMAGE}"
    }


def test_the_labels_say_what_it_is() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"VERSION={version}" in [arguments for name, arguments in stages()[-1] if name == "ARG"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', of_last_stage("LABEL")))
    assert labels["title"] == "oauth-gateway"
    assert (labels["version"], labels["revision"]) == ("${VERSION}", "${REVISION}")
    assert labels["licenses"] == "Apache-2.0"
    assert labels["description"]


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    copied = {
        source
        for name, arguments in stages()[0]
        if name == "COPY"
        for source in (word.removeprefix("./") for word in arguments.split()[:-1])
    }
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied


def run_steps(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_the_steps_build_a_gateway_that_starts_on_files_it_can_not_write() -> None:
    # Compiling takes minutes, and would install a compiler where there is none: tests/test_compiled.py does that.
    result = run_steps(ROOT / "scripts/image_steps.py", "--build-arg", "COMPILED=0")
    if OFFLINE.search(result.stderr):
        pytest.skip("there is no package index to install the image's packages from")
    assert result.returncode == 0, result.stdout + result.stderr
    last = result.stdout.splitlines()[-1]
    assert re.search(r"started as (user 65532:65532|root without any privilege|user [1-9]\d*) on files it can't", last)
    assert len(re.findall(r"^ok .* RUN ", result.stdout, re.MULTILINE)) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RUN echo words of a step; exit 3", "words of a step"),
        ("COPY secret.txt ./", "secret.txt: .dockerignore keeps it out"),
        ("ADD pyproject.toml ./", "ADD is no instruction"),
        ('USER 0:0\nENTRYPOINT ["true"]', "the image would run as root"),
        ('ENTRYPOINT ["nowhere"]', "nowhere is not on the image's path"),
    ],
)
def test_a_step_that_fails_is_shown(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    script = Path(shutil.copy(ROOT / "scripts/image_steps.py", tmp_path / "scripts"))
    (tmp_path / ".dockerignore").write_text("*\n!pyproject.toml\n")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "Dockerfile").write_text(
        f"FROM python:3\nWORKDIR /etc/x\nUSER 7:7\n{line}\nENV PATH=/opt/x:$PATH\n"
        'HEALTHCHECK --interval=1s CMD ["true"]\nCMD []\n'
    )
    result = run_steps(script, str(tmp_path / "built"))
    assert result.returncode == 1, result.stdout
    assert message in result.stderr


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run_steps(ROOT / "scripts/image_steps.py", str(tmp_path))
    assert (result.returncode, "is not empty" in result.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
