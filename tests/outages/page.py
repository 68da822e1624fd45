"""Reads `docs/outages.md`: its tables by heading, and what a cell says that a request gets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/outages.md"

Row = Mapping[str, str]
Table = Mapping[str, Row]


@dataclass(frozen=True)
class Outcome:
    """What a request gets. `again_in` bounds the Retry-After of a 503, in seconds."""

    status: int
    reason: str | None = None
    again_in: tuple[int, int] | None = None


def outcome(cell: str) -> Outcome:
    """What a cell says: `200`, "401 `key_unknown`", `503, again in 5 s`, `503, again in 1-10 s`."""
    found = re.fullmatch(r"(\d{3})(?: `(\w+)`)?(?:, again in (\d+)(?:-(\d+))? s)?", cell)
    assert found, f"what a request gets can't be read: {cell!r}"
    status, reason, least, most = int(found[1]), found[2], found[3], found[4] or found[3]
    assert (status == 503) is (least is not None), cell
    assert (status == 401) is (reason is not None), cell
    reasons = {200: None, 401: reason, 503: "issuer_unavailable"}
    return Outcome(status, reasons[status], (int(least), int(most)) if least is not None else None)


def tables(text: str) -> dict[str, dict[str, dict[str, str]]]:
    """The tables of a page, by the heading they stand under; a row by the text of its first cell."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for section in re.split(r"^#+ ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        lines = [line for line in body.split("\n") if line.startswith("|")]
        if not lines:
            continue
        header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
        assert heading not in found, heading
        found[heading] = {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}
        assert len(found[heading]) == len(rows), f"a row stands twice under {heading}"
    return found


def table(heading: str) -> Table:
    """The table under this heading of the page."""
    return tables(PAGE.read_text(encoding="utf-8"))[heading]
