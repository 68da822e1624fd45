"""What the environment puts into a configuration: `${NAME}` inside values, and `OAUTH_GATEWAY__…` over them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.config.problems import Location, Problem
from gateway.config.source import Path_, Source, resolve, show

PREFIX = "OAUTH_GATEWAY__"

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Unresolved(Exception):
    """A reference that leads nowhere; the message names it, never its value."""


def substitute(source: Source, environ: Mapping[str, str]) -> list[Problem]:
    """Replace every reference in the data, in place. Returns what could not be replaced."""
    problems: list[Problem] = []
    source.data = _substituted(source.data, (), source, environ, problems)
    return problems


def _substituted(value: Any, path: Path_, source: Source, environ: Mapping[str, str], problems: list[Problem]) -> Any:
    if isinstance(value, dict):
        return {key: _substituted(child, (*path, key), source, environ, problems) for key, child in value.items()}
    if isinstance(value, list):
        return [_substituted(child, (*path, index), source, environ, problems) for index, child in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        text = _REFERENCE.sub(lambda found: _referenced(found, environ), value)
    except _Unresolved as problem:
        problems.append(Problem(source.where(path), show(path), str(problem)))
        return ""
    return resolve(text) if path in source.plain else text


def _referenced(found: re.Match[str], environ: Mapping[str, str]) -> str:
    inner = found[1]
    if inner is None:
        return "${"
    if inner.startswith("file:"):
        return _from_file(inner.removeprefix("file:"))
    name, has_default, default = inner.partition(":-")
    if not _NAME.fullmatch(name):
        raise _Unresolved("a reference is ${NAME}, ${NAME:-default} or ${file:/path}; write $${ for a plain ${")
    value = environ.get(name)
    if value is None and not has_default:
        raise _Unresolved(f"the environment variable {name} is not set, and there is no default (${{{name}:-…}})")
    return value if value or (not has_default and value is not None) else default


def _from_file(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8"
        raise _Unresolved(f"the file {path} can't be read: {reason}") from None


def override(source: Source, environ: Mapping[str, str], schema: Callable[[], Mapping[str, Any]]) -> list[Problem]:
    """Set each scalar that an `OAUTH_GATEWAY__…` variable names. `schema` gives the keys there are.

    Steps are separated by two underscores and compared without case, `-` counting as `_`; a number picks from a list.
    """
    problems: list[Problem] = []
    variables = sorted(name for name in environ if name.startswith(PREFIX))
    known = schema() if variables else {}
    for variable in variables:
        steps = variable[len(PREFIX) :].split("__")
        place = Location(f"environment variable {variable}", 0, 0)
        try:
            path = _set(source.data, steps, known, known, resolve(environ[variable]))
        except _Unresolved as problem:
            problems.append(Problem(place, "", str(problem)))
        else:
            source.values[path] = source.keys[path] = place
    return problems


def _set(data: Any, steps: list[str], schema: Mapping[str, Any], root: Mapping[str, Any], value: Any) -> Path_:
    step, rest = steps[0], steps[1:]
    schema = _followed(schema, root)
    key = _chosen(data, step, schema)
    if not rest:
        data[key] = value
        return (key,)
    members = _member_schema(schema, key)
    if isinstance(data, dict) and not isinstance(data.get(key), dict | list):
        data[key] = {}
    return (key, *_set(data[key], rest, members, root, value))


def _chosen(data: Any, step: str, schema: Mapping[str, Any]) -> str | int:
    if isinstance(data, list):
        if not step.isdecimal() or int(step) >= len(data):
            raise _Unresolved(f"there is no list element {step}; the list has {len(data)}")
        return int(step)
    present = data.keys() if isinstance(data, dict) else ()
    names = [*present, *schema.get("properties", {})]
    for name in names:
        if name.lower().replace("-", "_") == step.lower():
            return str(name)
    if isinstance(schema.get("additionalProperties"), dict):
        return step.lower()
    raise _Unresolved(f"there is no key {step.lower()}{nearest(step.lower(), names)}")


def _followed(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object schema behind references and alternatives."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for alternative in schema.get("anyOf", ()):
        followed = _followed(alternative, root)
        if "properties" in followed or isinstance(followed.get("additionalProperties"), dict):
            return followed
    return schema


def _member_schema(schema: Mapping[str, Any], key: str | int) -> Mapping[str, Any]:
    if isinstance(key, int):
        found = schema.get("items", {})
    else:
        found = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
    return found if isinstance(found, dict) else {}


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a message: the known name that comes nearest, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
