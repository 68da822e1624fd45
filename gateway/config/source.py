"""YAML text to plain data with the place of every part: scalars as YAML 1.2 reads them, duplicate keys refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway.config.problems import ConfigError, ConfigUnreadable, Location, Problem

Path_ = tuple[str | int, ...]
Finding = tuple[Path_, str]
"""Something that does not go together: where, and a message."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# An alias may stand for a tree of aliases: a few lines could otherwise become millions of values.
_MAX_NODES = 100_000
_MAX_DEPTH = 50

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


@dataclass(slots=True)
class Source:
    """Plain data and where each of its parts stands: `keys` for the key of a member, `values` for its value."""

    data: dict[str, Any]
    keys: dict[Path_, Location] = field(default_factory=dict)
    values: dict[Path_, Location] = field(default_factory=dict)
    plain: set[Path_] = field(default_factory=set)
    """Paths of unquoted scalars: what is substituted into them is read like YAML, a quoted one stays a text."""

    def where(self, path: Path_) -> Location:
        """Where a value stands, or else the nearest block around it."""
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path, Location("<mapping>", 0, 0))


def resolve(text: str) -> Any:
    """The value of an unquoted scalar by YAML 1.2's core schema: `on`, `yes`, `12:30` and `0x1` are texts."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text) and len(text) < 20:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def read(path: Path) -> Source:
    """Read a file, or every `*.yaml` of a folder. Raises `ConfigUnreadable`, or `ConfigError` with what is no YAML."""
    if not path.is_dir():
        return _read_file(path)
    files = sorted(path.glob("*.yaml"))
    if not files:
        raise ConfigUnreadable([Problem(Location(str(path), 0, 0), "", "the folder has no *.yaml file")])
    merged = Source({})
    problems: list[Problem] = []
    for file in files:
        _merge(merged, _read_file(file), problems)
    if problems:
        raise ConfigError(problems)
    return merged


def from_mapping(data: dict[str, Any]) -> Source:
    """Data that was never a file; its places are unknown."""
    return Source(data, plain=set())


def _read_file(path: Path) -> Source:
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8"
        raise ConfigUnreadable([Problem(Location(str(path), 0, 0), "", f"the file can't be read: {reason}")]) from None
    return _parse(text, str(path))


def _parse(text: str, file: str) -> Source:
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = Location(file, mark.line + 1, mark.column + 1) if mark is not None else Location(file, 0, 0)
        raise ConfigError([Problem(place, "", f"not YAML: {problem.problem}")]) from None
    except yaml.YAMLError:
        raise ConfigError(
            [Problem(Location(file, 0, 0), "", "not YAML: a character that YAML does not allow")]
        ) from None
    reader = _Reader(file)
    if node is None:
        raise ConfigError([Problem(Location(file, 1, 1), "", "the file is empty")])
    data = reader.value(node, ())
    if not isinstance(data, dict):
        reader.problems.append(Problem(reader.place(node), "", "the file must hold keys and values"))
    if reader.problems:
        raise ConfigError(reader.problems)
    reader.source.data = data
    return reader.source


class _Reader:
    """Turns YAML nodes into plain data, and notes where everything stands."""

    def __init__(self, file: str) -> None:
        self.source = Source({})
        self.problems: list[Problem] = []
        self._file = file
        self._nodes = 0

    def place(self, node: yaml.Node) -> Location:
        return Location(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def value(self, node: yaml.Node, path: Path_) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise ConfigError([Problem(self.place(node), show(path[:8]), "nested or repeated too often (aliases?)")])
        self.source.values[path] = self.place(node)
        if isinstance(node, yaml.MappingNode):
            return dict(self._members(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        if getattr(node, "style", None):
            return node.value
        self.source.plain.add(path)
        return resolve(node.value)

    def _members(self, node: yaml.MappingNode, path: Path_) -> Iterator[tuple[str, Any]]:
        seen: dict[str, Location] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(self.place(key_node), show(path), "a key must be a text"))
                continue
            key = key_node.value
            where = self.place(key_node)
            if key in seen:
                message = f"the key stands here twice; the first is in line {seen[key].line}"
                self.problems.append(Problem(where, show((*path, key)), message))
                continue
            seen[key] = self.source.keys[(*path, key)] = where
            yield key, self.value(value_node, (*path, key))


def _merge(merged: Source, part: Source, problems: list[Problem]) -> None:
    """Join a further file: maps by key, `routes` one after the other."""
    routes = merged.data.get("routes")
    offset = len(routes) if isinstance(routes, list) else 0

    def shift(path: Path_) -> Path_:
        if len(path) > 1 and path[0] == "routes" and isinstance(path[1], int):
            return ("routes", path[1] + offset, *path[2:])
        return path

    problems += _join(merged, part, (), merged.data, part.data)
    for name in ("keys", "values"):
        places: dict[Path_, Location] = getattr(merged, name)
        for path, place in getattr(part, name).items():
            places.setdefault(shift(path), place)
    merged.plain |= {shift(path) for path in part.plain}


def _join(merged: Source, part: Source, path: Path_, into: dict[str, Any], new: dict[str, Any]) -> Iterator[Problem]:
    for key, value in new.items():
        here = (*path, key)
        if key not in into:
            into[key] = value
        elif here == ("routes",) and isinstance(into[key], list) and isinstance(value, list):
            into[key] = into[key] + value
        elif isinstance(into[key], dict) and isinstance(value, dict):
            yield from _join(merged, part, here, into[key], value)
        else:
            first = merged.keys.get(here)
            yield Problem(part.keys[here], show(here), f"the key stands in {first} already")


def show(path: Path_) -> str:
    """A path as people write it: `routes[2].require.scopes`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
