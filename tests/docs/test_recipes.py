"""The recipes and the quick start do what they say: each page is run from top to bottom, and what comes back is what it
shows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.stage import INDEX, Stage, as_shown, blocks, commands, stage
from tests.docs.test_commands import is_not_run
from tests.documents import PLAYED, RECIPES

CONFIGURATION = "gateway.yaml"
CHECK, SERVE = (command.text for block in blocks(INDEX) if block.title == "gateway" for command in commands(block))
"""The two commands of the index that are about the gateway."""


def play(page: Path, there: Stage) -> tuple[int, int]:
    """Run a page: write its files, start what it starts, compare what its commands print.

    Returns the number of configurations and of requests.
    """
    configurations = requests = 0
    for block in blocks(page):
        if block.title and block.language != "console":
            (there.folder / block.title).write_text(there.here(block.text), encoding="utf-8")
        if block.title == CONFIGURATION:
            there.stop(SERVE)
            checked = there.run(CHECK)
            assert checked.startswith("no problems: "), f"{page.name}:{block.line}: {checked}"
            there.start_gateway(SERVE)
            configurations += 1
        for command in commands(block) if block.language == "console" else ():
            if command.text == SERVE or is_not_run(command.text):
                continue
            if block.title:
                there.start_listening(command.text)
                continue
            printed = there.run(command.text)
            assert as_shown(command.output, printed), f"{page.name}:{command.line}: {command.text}\n{printed}"
            requests += "curl" in command.text
    return configurations, requests


@pytest.mark.parametrize("page", PLAYED, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    with stage(tmp_path, with_index=page in RECIPES) as there:
        configurations, requests = play(page, there)
    assert configurations >= 1
    assert requests >= 1


def test_the_index_lists_every_recipe() -> None:
    text = INDEX.read_text(encoding="utf-8")
    assert [page.name for page in RECIPES if f"]({page.name})" not in text] == []


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("HTTP/1.1 200 OK\n…\n", "HTTP/1.1 200 OK\nDate: x\n\n{}", True),
        ("HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden", False),
        ('{"reason": "claim_refused", …}', '{"reason": "scope_insufficient", "id": "1"}', False),
        ("", "curl: (7) Failed to connect", False),
        ("a … c", "a b d", False),
        ("HTTP/1.1 204 No Content\n…", "HTTP/1.1 204 No Content\n\n", True),
        ("…", "", True),
    ],
)
def test_what_is_shown_is_compared_but_for_what_is_left_out(shown: str, printed: str, same: bool) -> None:
    assert as_shown(shown, printed) is same
