"""Keys whose feature comes later: typed and validated like the rest, then refused. Nothing is silently ignored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gateway.config.model import Config
from gateway.config.source import Path_

Check = Callable[[Any], bool]

# What follows a `*` is looked at in every member of the block or list before it. A row goes when its feature comes.
NOT_YET: tuple[tuple[Path_, Check], ...] = (
    (("routes", "*", "require", "acr"), bool),
    (("routes", "*", "require", "max_auth_age"), lambda age: age is not None),
    (("routes", "*", "require", "proof"), lambda proof: proof != "none"),
)


def unsupported(config: Config) -> Iterator[Path_]:
    """The paths of all keys that are used and not supported yet."""
    for pattern, is_used in NOT_YET:
        for path, value in _found(config, pattern, ()):
            if is_used(value):
                yield path


def _found(value: Any, pattern: Path_, path: Path_) -> Iterator[tuple[Path_, Any]]:
    if not pattern:
        yield path, value
        return
    step, rest = pattern[0], pattern[1:]
    if step != "*":
        yield from _found(getattr(value, str(step)), rest, (*path, step))
        return
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in members:
        yield from _found(member, rest, (*path, key))
