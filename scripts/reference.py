#!/usr/bin/env python3
"""docs/reference.md, made from the schema of the configuration: every key with its type, default, meaning and example.

    reference.py write   brings it up to date
    reference.py check   says whether it is, and exits 1 when not

The examples are the values of config/full.yaml.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gateway.config import schema, supported
from gateway.config.values import DURATION_SCHEMA, SIZE_SCHEMA, duration

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/reference.md"
SCHEMA = schema()

INTRODUCTION = """\
# Every key

Made from the schema that `oauth-gateway schema` prints. The [guide](configuration.md) says how the keys work together;
[config/full.yaml](../config/full.yaml) has all of them in one file.

| type | is written |
|---|---|
| duration | `500ms`, `30s`, `5m`, `1h30m`, or `0` |
| size | `16KiB`, `10MiB`, or a number of bytes |
| text | a YAML string that is not empty |
| list | `[a, b]`; where the type is "text or list", one value may stand alone |
| condition | what a claim must be: [conditions](configuration.md#who-may-pass) |

**must** in the column of defaults: the key has to be there. A dash: nothing, as if the feature were not there. What is
not here is an error: there is no key that is silently ignored.
"""

NAMED = {"issuers": ".NAME", "upstreams": ".NAME", "routes": "[]"}
"""What stands in a path for the names that users choose, and for a place in a list."""
LONGEST_EXAMPLE = 48
"""Characters; what is longer would stretch the table."""
LATER = {tuple(step for step in path if step != "*") for path, _ in supported.NOT_YET}

Block = tuple[str, tuple[str, ...], dict[str, Any]]


def resolved(part: dict[str, Any]) -> dict[str, Any] | None:
    """The block that a key holds, or None."""
    for alternative in (part, *part.get("anyOf", ()), part.get("additionalProperties"), part.get("items")):
        if isinstance(alternative, dict) and "$ref" in alternative:
            found: dict[str, Any] = SCHEMA["$defs"][alternative["$ref"].rpartition("/")[2]]
            return found
        if alternative is not part and isinstance(alternative, dict) and (found_below := resolved(alternative)):
            return found_below
    return None


def blocks(part: dict[str, Any], title: str = "", path: tuple[str, ...] = ()) -> Iterator[Block]:
    """Each block with its title and path, the one around before those within."""
    yield title, path, part
    for key, value in part["properties"].items():
        below = resolved(value)
        if below is None or key == "route_defaults":
            continue
        step = (key, "*") if key in {"issuers", "upstreams"} else (key,)
        yield from blocks(below, below_title(title, key), (*path, *step))


def below_title(title: str, key: str) -> str:
    """The title of the block that a key of another one holds."""
    return f"{title}{'.' if title else ''}{key}{NAMED.get(key, '')}"


def anchor(title: str) -> str:
    """The anchor of a block's heading."""
    return "#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def kind(part: dict[str, Any]) -> str:
    """The type of a key, for people who write YAML."""
    if part.get("pattern") == DURATION_SCHEMA["pattern"]:
        return "duration"
    if part.get("pattern") == SIZE_SCHEMA["pattern"]:
        return "size"
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if "$ref" in part:
        return "block"
    if "anyOf" in part:
        return alternatives(part["anyOf"])
    return plain(part)


def alternatives(parts: list[dict[str, Any]]) -> str:
    """The types of which a key has one; a reference to the environment, or nothing, is none of them."""
    whole = [kind(part) for part in parts if part.get("type") != "null" and not is_reference(part)]
    kinds = [form for name in whole for form in ([name] if name.startswith("list of") else name.split(" or "))]
    return " or ".join(dict.fromkeys("list" if is_list_of(name, kinds) else name for name in kinds))


def is_list_of(name: str, kinds: list[str]) -> bool:
    """Is this a list of what may stand alone, too?"""
    return name.startswith("list of ") and set(name.removeprefix("list of ").split(" or ")) <= {
        form for known in kinds for form in (known, f"{known}s")
    }


def is_reference(part: dict[str, Any]) -> bool:
    """Does this part of the schema stand for `${NAME}`?"""
    return part.get("type") == "string" and str(part.get("pattern", "")).startswith(r"^\$\{")


def plain(part: dict[str, Any]) -> str:
    """The type of a key without alternatives."""
    match part.get("type"):
        case "array":
            of = kind(part["items"])
            return f"list of {'blocks' if of == 'block' else of + 's' if of == 'text' else of}"
        case "object":
            values = part.get("additionalProperties")
            below = kind(values) if isinstance(values, dict) else ""
            return "condition" if "equals" in part.get("properties", {}) else f"names, each with a {below or 'value'}"
        case "boolean":
            return "true or false"
        case "integer" | "number":
            return "number" + limits(part)
        case ["string", "number", "boolean"]:
            return "value"
    return "text"


def limits(part: dict[str, Any]) -> str:
    """The least and the greatest that a number may be."""
    least, most = part.get("minimum"), part.get("maximum")
    if most is not None:
        return f", {least} to {most}"
    return f" from {least}" if least else ""


def written(value: Any) -> str:
    """A value in one line of YAML, as code."""
    if value is None or value in ([], {}, ""):
        return "–"
    shown = value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False).replace('"', "")
    return f"`{shown}`".replace("|", "\\|")


def examples() -> dict[tuple[str, ...], Any]:
    """A value for each path, from config/full.yaml with what is commented out there for want of a file."""
    text = (ROOT / "config/full.yaml").read_text(encoding="utf-8")
    text = re.sub(r"^( *)# (\S+: .*?) +# (?:needs the file|not supported yet).*$", r"\1\2", text, flags=re.MULTILINE)
    found: dict[tuple[str, ...], Any] = {}

    def collect(part: Any, path: tuple[str, ...]) -> None:
        if isinstance(part, dict):
            for key, value in part.items():
                # For YAML readers a bare `on` is a truth value.
                step = "on" if key is True else str(key)
                named = path in {("issuers",), ("upstreams",)}
                collect_at(value, (*path, "*" if named else step), not named)
        elif isinstance(part, list):
            for member in part:
                collect(member, path)

    def collect_at(value: Any, path: tuple[str, ...], is_key: bool) -> None:
        if is_key:
            found.setdefault(path, value)
        collect(value, path)

    collect(yaml.safe_load(text), ())
    return found


def is_shown(example: Any, default: Any) -> bool:
    """Does an example say more than the default does?"""
    listed = default if isinstance(default, list) else [default]
    if isinstance(default, str) and isinstance(example, str) and is_duration(default):
        return duration(example) != duration(default)
    if len(str(example)) > LONGEST_EXAMPLE:
        return False
    is_small = not isinstance(example, dict) and not (isinstance(example, list) and isinstance(example[0], dict))
    return is_small and str(example) not in {str(default), *map(str, listed)} and "${" not in str(example)


def is_duration(value: str) -> bool:
    """Is this written as a duration?"""
    return re.fullmatch(r"(?:[0-9]+(?:h|m|s|ms))+", value) is not None


def row(title: str, path: tuple[str, ...], key: str, part: dict[str, Any], must: bool, example: Any) -> str:
    """One key as a row of the table."""
    form = kind(part)
    if resolved(part):
        below = below_title(title, "routes" if key == "route_defaults" else key)
        form = re.sub(r"\bblock(s?)", rf"[block\1]({anchor(below)})", form)
    default = "**must**" if must else written(part.get("default"))
    meaning = re.sub(r"([|*<])(?=(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", part["description"])
    if tuple(step for step in (*path, key) if step != "*") in LATER:
        meaning += ". **Not supported yet**: setting it is an error"
    elif example is not None and is_shown(example, part.get("default")):
        meaning += f". Example: {written(example)}"
    return f"| `{key}` | {form} | {default} | {meaning} |"


def section(title: str, path: tuple[str, ...], block: dict[str, Any], shown: dict[tuple[str, ...], Any]) -> str:
    """One block with its keys."""
    must = set(block.get("required", ()))
    heading = f"`{title}`" if title else "The whole file"
    keys = block["properties"].items()
    rows = [row(title, path, key, part, key in must, shown.get((*path, key))) for key, part in keys]
    described = block.get("description", "").replace("\n", " ")
    return "\n".join(
        [f"## {heading}", "", described, "", "| key | type | default | meaning |", "|---|---|---|---|", *rows]
    )


def page() -> str:
    """The whole page."""
    shown = examples()
    sections = [section(title, path, block, shown) for title, path, block in blocks(SCHEMA)]
    return INTRODUCTION + "\n" + "\n\n".join(sections) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or say that it is not up to date."""
    if arguments not in (["write"], ["check"]):
        print(__doc__)
        return 2
    made = page()
    is_stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made
    if is_stale and arguments == ["write"]:
        PAGE.write_text(made, encoding="utf-8")
    if is_stale and arguments == ["check"]:
        print("docs/reference.md is not up to date; run scripts/reference.py write")
    return int(is_stale and arguments == ["check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
