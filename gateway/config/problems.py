"""What can be wrong with a configuration, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file; line and column count from 1, 0 is unknown."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: its place, the path of the key (`routes[2].require.scopes`) and what is wrong, in a sentence."""

    location: Location
    path: str
    message: str

    def __str__(self) -> str:
        place = self.location
        head = f"{place.file}:{place.line}:{place.column}" if place.line else place.file
        return f"{head}: {self.path}: {self.message}" if self.path else f"{head}: {self.message}"


class ConfigError(Exception):
    """A configuration that can't be used: all its problems, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        # One mistake in `route_defaults` would show up once for each route.
        unique = {(problem.location, problem.message): problem for problem in sorted(problems, reverse=True)}
        self.problems = tuple(sorted(unique.values()))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ConfigUnreadable(ConfigError):
    """There is no configuration to speak of: the file is missing or can't be read."""
