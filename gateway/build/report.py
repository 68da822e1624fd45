"""Collects what does not fit while a gateway is being put together, with its place in the configuration."""

from __future__ import annotations

from gateway.config import Config, Problem
from gateway.config.source import Path_


class Report:
    """The problems of one configuration."""

    def __init__(self, config: Config) -> None:
        self.problems: list[Problem] = []
        self._places = config.places

    def add(self, path: Path_, message: str) -> None:
        """A problem at that place."""
        self.problems.append(self._places.problem(path, message))

    def where(self, *path: str | int) -> str:
        """`file:line` of a value."""
        return self._places.where(path)
