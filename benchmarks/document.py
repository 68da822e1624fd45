"""Puts the results of a run into a document, between two marks: figures that nobody copies are figures as measured."""

from __future__ import annotations

from pathlib import Path


class NoSuchMark(Exception):
    """The document has no place for these results."""


def around(file: Path, mark: str) -> tuple[str, str]:
    """The text up to `<!-- mark -->` and that from `<!-- /mark -->` on. Raises `NoSuchMark`, OSError."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, found, rest = file.read_text(encoding="utf-8").partition(start)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise NoSuchMark(f"{file} has no {start} with {end} after it")
    return before + start, end + after


def put(file: Path, mark: str, text: str) -> None:
    """Replace what stands between the marks. Raises `NoSuchMark`, OSError."""
    before, after = around(file, mark)
    file.write_text(f"{before}\n\n{text.strip()}\n\n{after}", encoding="utf-8")
