#!/usr/bin/env python3
"""What is made from other files in the chart: the gateway's schema in values.schema.json, the table in its README.md.

    chart_files.py write   brings both up to date
    chart_files.py check   names what is not up to date, and exits 1

Of values.schema.json everything but the definition `Config` and those it refers to is written by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gateway.config import schema

CHART = Path(__file__).resolve().parent.parent / "helm/oauth-gateway"
BEGIN, END = "<!-- values: made by scripts/chart_files.py -->", "<!-- end of values -->"
GENERATED = "x-made-by"


def values_schema(text: str) -> str:
    """values.schema.json with the gateway's present schema below `$defs`."""
    document = json.loads(text)
    gateway = schema()
    own = {name: part for name, part in document["$defs"].items() if GENERATED not in part}
    made = {**gateway.pop("$defs"), "Config": {key: part for key, part in gateway.items() if key != "$schema"}}
    if both := own.keys() & made.keys():
        raise SystemExit(f"values.schema.json has definitions of its own by the names of the gateway's: {sorted(both)}")
    marked = {name: {GENERATED: "scripts/chart_files.py", **part} for name, part in sorted(made.items())}
    return json.dumps({**document, "$defs": {**own, **marked}}, indent=2, ensure_ascii=False) + "\n"


def described(text: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and description of everything in values.yaml that has a comment beginning with `# --`."""
    lines = text.splitlines()

    def walk(node: yaml.MappingNode, path: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
        for key, value in node.value:
            place = (*path, key.value)
            if description := comment_above(lines, key.start_mark.line):
                yield ".".join(place), default(value), description
            elif isinstance(value, yaml.MappingNode):
                yield from walk(value, place)

    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    yield from walk(root, ())


def comment_above(lines: list[str], line: int) -> str:
    """The description directly above a key, in one line; empty without one."""
    block: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        block.insert(0, lines[line].strip().removeprefix("#").strip())
    begins = [index for index, part in enumerate(block) if part.startswith("--")]
    return " ".join(block[begins[-1] :]).removeprefix("--").strip() if begins else ""


def default(node: yaml.Node) -> str:
    """A default as JSON, or what is too long for a table in a word."""
    value: Any = yaml.SafeLoader("").construct_object(node, deep=True)
    shown = json.dumps(value, ensure_ascii=False)
    return f"`{shown}`" if len(shown) <= 60 else "see values.yaml"


def table(text: str) -> str:
    """The values as a table in Markdown."""
    rows = [f"| `{key}` | {value} | {description} |" for key, value, description in described(text)]
    return "\n".join(["| value | default | |", "|---|---|---|", *rows])


def readme(text: str, values: str) -> str:
    """README.md with the present table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(values)}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write both files, or say which is not up to date."""
    if arguments not in (["write"], ["check"]):
        print(__doc__)
        return 2
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    stale = []
    for name, made in (
        ("values.schema.json", values_schema((CHART / "values.schema.json").read_text(encoding="utf-8"))),
        ("README.md", readme((CHART / "README.md").read_text(encoding="utf-8"), values)),
    ):
        if made != (CHART / name).read_text(encoding="utf-8"):
            stale.append(name)
            if arguments == ["write"]:
                (CHART / name).write_text(made, encoding="utf-8")
    if arguments == ["check"]:
        for name in stale:
            print(f"helm/oauth-gateway/{name} is not up to date; run scripts/chart_files.py write")
    return int(bool(stale) and arguments == ["check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
