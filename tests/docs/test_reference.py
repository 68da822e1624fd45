"""The reference of the configuration is what the schema says, and the guide does not contradict it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import errors
from tests.documents import ROOT
from tests.test_documents import KEYS

REFERENCE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
SCRIPT = ROOT / "scripts/reference.py"


def rows(text: str) -> Iterator[tuple[str, str, str]]:
    """Block, key and default of each row of the reference."""
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = part.partition("\n")[0].strip("`")
        block = "" if title == "The whole file" else title.replace(".NAME", "").replace("[]", "")
        for key, default in re.findall(r"^\| `(\w+)` \| .*? \| (`[^`]*`|–|\*\*must\*\*) \|", part, re.MULTILINE):
            yield block, key, default.strip("`")


def run(argument: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), argument]
    environ = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)


def test_the_reference_is_what_the_schema_says() -> None:
    done = run("check")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_reference_that_is_not_up_to_date_is_found_and_written(tmp_path: Path) -> None:
    for folder in ("scripts", "docs", "config"):
        (tmp_path / folder).mkdir()
    script = tmp_path / "scripts/reference.py"
    shutil.copy(SCRIPT, script)
    shutil.copy(ROOT / "config/full.yaml", tmp_path / "config")
    page = tmp_path / "docs/reference.md"
    page.write_text(REFERENCE.replace("`10m`", "`11m`"), encoding="utf-8")
    done = run("check", script)
    assert (done.returncode, "is not up to date" in done.stdout) == (1, True)
    assert run("write", script).returncode == 0
    assert page.read_text(encoding="utf-8") == REFERENCE


def test_every_key_has_a_row() -> None:
    told = {tuple(filter(None, [*block.split("."), key])) for block, key, _ in rows(REFERENCE)}
    wanted = {tuple(step for step in path if step != "*") for path in KEYS}
    assert wanted - told == set()


DEFAULTS = {(block, key): default for block, key, default in rows(REFERENCE)}
IN_WORDS = {"60s": "1m", "RS, PS, ES 256-512, EdDSA": "[RS256"}
"""Defaults that the guide writes in another way."""


def guide_rows() -> Iterator[tuple[str, str]]:
    """Key and default in the guide's tables that have them."""
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    for table in re.findall(r"^\| key[^|\n]*\| default \|.*\n\|.*\n((?:\|.*\n)+)", text, re.MULTILINE):
        yield from re.findall(r"^\| `([\w.]+)` \| `?([^|`]+?)`? \|", table, re.MULTILINE)


@pytest.mark.parametrize(("key", "default"), sorted(set(guide_rows())))
def test_a_default_in_the_guide_is_that_of_the_reference(key: str, default: str) -> None:
    *block, last = key.split(".")
    places = [found for found in DEFAULTS if found[1] == last and found[0].endswith(".".join(block))]
    assert places, key
    known = {DEFAULTS[place] for place in places}
    is_in_words = " " in default and "–" in known  # what happens where the key is absent
    values = known - {"–", "**must**"}
    assert not values or is_in_words or any(one.startswith(IN_WORDS.get(default, default)) for one in values), known


def test_the_guide_has_defaults_to_compare() -> None:
    assert len(set(guide_rows())) > 40


def test_what_is_said_to_close_the_connection_does() -> None:
    text = (ROOT / "docs/refusals.md").read_text(encoding="utf-8")
    part = re.search(r"^The connection closes after each of these\.\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert part is not None
    names = set(re.findall(r"^### `(\w+)`$", part[1], re.MULTILINE))
    reasons = [value for value in vars(errors).values() if isinstance(value, errors.Reason)]
    assert names
    assert {reason.name for reason in reasons if reason.name in names and not reason.closes} == set()
