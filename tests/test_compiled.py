"""The way of a request, compiled (docs/decisions/0024): it can be, and what it answers is what the sources answer."""

from __future__ import annotations

import ast
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
SECONDS = 1500
# Whole conversations, bytes in and bytes out: with the reference server beside, and by chance.
CONVERSATIONS = [
    "tests/fuzz",
    "tests/http/test_differential.py",
    "tests/flow/test_any_bytes.py",
    "tests/flow/test_decisions.py",
    "tests/test_app.py",
]


def script(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts/compile"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_what_is_left_out_of_it_is_there() -> None:
    """A file that was renamed would be compiled, and fail on a machine far away."""
    for pattern in HOOK["mypyc"]["exclude"]:
        assert list((ROOT / "gateway").glob(f"**/{Path(pattern).name}")), pattern
    for pattern in HOOK["mypyc"]["include"]:
        assert list(ROOT.glob(pattern)), pattern


def compiled() -> Iterator[Path]:
    left_out = {file for pattern in HOOK["mypyc"]["exclude"] for file in ROOT.glob(f"gateway/**/{Path(pattern).name}")}
    for pattern in HOOK["mypyc"]["include"]:
        yield from sorted(set(ROOT.glob(pattern)) - left_out)


@pytest.mark.parametrize("file", list(compiled()), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_name_stands_for_exceptions_of_one_type_in_each_function(file: Path) -> None:
    """mypy lets it stand for several; compiled, that is a TypeError as soon as the second one is raised."""
    for function in ast.walk(ast.parse(file.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            types: dict[str, str] = {}
            for handler in ast.walk(function):
                if isinstance(handler, ast.ExceptHandler) and handler.name and handler.type:
                    caught = ast.unparse(handler.type)
                    assert types.setdefault(handler.name, caught) == caught, f"{function.name}: {handler.name}"


def test_the_image_is_compiled_unless_told_otherwise() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "ARG COMPILED=1\n" in dockerfile
    assert "RUN HATCH_BUILD_HOOK_ENABLE_MYPYC=$COMPILED /opt/tools/bin/python -m pip wheel" in dockerfile
    assert "hatch-mypyc==" in (ROOT / "requirements-build.lock").read_text()


def test_unknown_words_are_refused_before_anything_is_made() -> None:
    result = script("--tests")
    assert (result.returncode, result.stderr.startswith("usage: scripts/compile")) == (2, True)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler: nothing is compiled")
def test_it_answers_as_the_sources_do() -> None:
    made = script()
    assert made.returncode == 0, made.stderr
    command = Path(made.stdout.strip())
    version = subprocess.run([command, "version"], capture_output=True, text=True, timeout=60, check=True, cwd="/")
    assert version.stdout.startswith("oauth-gateway ")
    # What was made of these sources is not made again.
    before = command.stat().st_mtime_ns
    assert script().returncode == 0
    assert command.stat().st_mtime_ns == before
    tested = script("--test", "-q", "-n", "0", "-p", "no:cacheprovider", *CONVERSATIONS)
    assert tested.returncode == 0, tested.stdout[-4000:] + tested.stderr[-2000:]
