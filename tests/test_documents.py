"""The documents say what is so: their configurations load, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from gateway import errors
from gateway.cli import COMMANDS, main
from gateway.config import load

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
REASONS = [value for value in vars(errors).values() if isinstance(value, errors.Reason)]

SMALLEST = """
issuers: {corp: {issuer: "https://login.example.com", audience: orders-api}}
upstreams: {orders: {url: "http://127.0.0.1:9000"}}
routes: [{path: /**, upstream: orders}]
"""


def blocks(document: Path, language: str) -> Iterator[tuple[int, str]]:
    """Line number and text of each fenced block in that language."""
    text = document.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start()) + 1, found[1]


def named(document: Path, line: int) -> str:
    return f"{document.relative_to(ROOT)}:{line}"


CONFIGURATIONS = [
    pytest.param(text, id=named(document, line)) for document in DOCUMENTS for line, text in blocks(document, "yaml")
]
COMMAND_LINES = [
    pytest.param(shlex.split(command, comments=True), id=f"{named(document, line)} {command[:40]}")
    for document in DOCUMENTS
    for line, text in blocks(document, "console")
    for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE)
]


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_loads_once_what_it_leaves_out_is_filled_in(text: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(SMALLEST), **yaml.safe_load(text)}), encoding="utf-8")
    assert load(file) is not None


@pytest.mark.parametrize("words", COMMAND_LINES)
def test_a_command_line_names_a_command_and_options_that_exist(words: list[str]) -> None:
    program, *arguments = words
    if program != "oauth-gateway":
        assert program in {"curl", "docker"} or (ROOT / program).is_file()
        return
    command: click.Command | None = main
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), arguments.pop(0))
    assert command is not None
    redirection = next((n for n, word in enumerate(arguments) if word in {">", "|", "&"}), len(arguments))
    command.make_parser(click.Context(command)).parse_args(arguments[:redirection])


def test_the_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `oauth-gateway (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def anchors(document: Path) -> set[str]:
    """The anchors that a document's headings get where it is shown."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", document.read_text(encoding="utf-8"))
    for path, _, anchor in (target.partition("#") for target in targets):
        file = document.parent / path if path else document
        assert file.exists(), path
        assert not anchor or anchor in anchors(file), f"{path}#{anchor}"


def refusal_entries() -> dict[str, str]:
    """The text of each entry of the reference, as one line, by reason."""
    text = (ROOT / "docs/refusals.md").read_text(encoding="utf-8")
    entries = re.split(r"^### `(\w+)`$", text, flags=re.MULTILINE)[1:]
    names, texts = entries[::2], entries[1::2]
    assert len(set(names)) == len(names)
    return {name: " ".join(entry.split()) for name, entry in zip(names, texts, strict=True)}


def test_the_refusal_reference_has_an_entry_for_each_reason_and_no_other() -> None:
    assert sorted(refusal_entries()) == sorted({reason.name for reason in REASONS})


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.name)
def test_an_entry_says_what_the_client_sees_why_and_what_to_do(reason: errors.Reason) -> None:
    entry = refusal_entries()[reason.name]
    code = f"`{reason.error}`" if reason.error else "no code"
    assert entry.startswith(f"{reason.status} · {code} · ")
    assert f'"{reason.detail}"' in entry
    assert entry.index("**Why.**") < entry.index("**What to do.**")
