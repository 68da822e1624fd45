"""docs/policy-tests.md says what is so: its file, run beside the README's route file, prints what the page shows."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from gateway.cli.test.file import ExpectBlock, RequestBlock, TokenBlock
from tests.docs.stage import blocks as told_blocks
from tests.docs.stage import commands
from tests.documents import README, ROOT, blocks

PAGE = ROOT / "docs/policy-tests.md"


def test_the_commands_of_the_page_print_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/gateway.yaml").write_text(next(blocks(README, "yaml"))[1], encoding="utf-8")
    [(_, text)] = blocks(PAGE, "yml")
    (tmp_path / "policy-tests.yaml").write_text(text, encoding="utf-8")
    shown = [command for block in told_blocks(PAGE) if block.language == "console" for command in commands(block)]
    assert len(shown) == 2
    for command in shown:
        words = [sys.executable, "-m", "gateway", *shlex.split(command.text)[1:]]
        told = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
        assert told.returncode == 1
        assert told.stderr == ""
        assert not command.output or told.stdout == command.output
    assert (tmp_path / "report.xml").exists()


def test_the_tables_name_every_key() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for block, heading, following in (
        (RequestBlock, "### `request`", "### `token`"),
        (TokenBlock, "### `token`", "### `expect`"),
        (ExpectBlock, "### `expect`", "## For build servers"),
    ):
        section = text[text.index(heading) : text.index(following)]
        assert [name for name in block.model_fields if f"`{name}" not in section] == []
