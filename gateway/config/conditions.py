"""Conditions on claims as the YAML writes them, brought to one form: operators with their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from gateway.config.environment import nearest
from gateway.config.values import kind

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MAX_PATTERN = 1000


@dataclass(frozen=True, slots=True)
class PathParameter:
    """A value that stands for a parameter of the route's path: `"{tenant}"`."""

    name: str


@dataclass(frozen=True, slots=True)
class Condition:
    """Operators that all have to hold. A scalar has become `equals`, a list `one_of`; `not` holds a `Condition`."""

    operators: tuple[tuple[str, Any], ...]

    @property
    def parameters(self) -> frozenset[str]:
        """The path parameters it speaks of."""
        names: set[str] = set()
        for _, value in self.operators:
            if isinstance(value, Condition):
                names |= value.parameters
            members = value if isinstance(value, tuple) else (value,)
            names |= {member.name for member in members if isinstance(member, PathParameter)}
        return frozenset(names)


def condition(value: object) -> Condition:
    """Read a condition. Raises ValueError with what is wrong."""
    if isinstance(value, Mapping):
        if not value:
            raise ValueError(f"needs an operator: {', '.join(_OPERATORS)}")
        return Condition(tuple((name, _operand(name, operand)) for name, operand in value.items()))
    if isinstance(value, list | tuple):
        return Condition((("one_of", _scalars(value)),))
    return Condition((("equals", _scalar(value)),))


def _operand(name: object, operand: object) -> Any:
    read = _OPERATORS.get(str(name))
    if read is None:
        raise ValueError(f"there is no operator {name}{nearest(str(name), _OPERATORS)}")
    try:
        return read(operand)
    except ValueError as problem:
        raise ValueError(f"{name} {problem}") from None


def _scalar(value: object) -> Any:
    if isinstance(value, str) and (found := _PARAMETER.fullmatch(value)):
        return PathParameter(found[1])
    if isinstance(value, str | int | float | bool):
        return value
    raise ValueError(f"must be a text, a number, or true or false, not {kind(value)}")


def _scalars(value: object) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"must be a list with something in it, not {kind(value)}")
    return tuple(_scalar(member) for member in value)


def _pattern(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_PATTERN:
        raise ValueError(f"must be a regular expression of at most {_MAX_PATTERN} characters")
    try:
        re.compile(value)
    except re.error as problem:
        raise ValueError(f"is no regular expression: {problem}") from None
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {kind(value)}")
    return value


_OPERATORS: dict[str, Callable[[object], Any]] = {
    "equals": _scalar,
    "one_of": _scalars,
    "contains": _scalar,
    "contains_all": _scalars,
    "contains_any": _scalars,
    "matches": _pattern,
    "exists": _flag,
    "not": condition,
}

_SCALAR_SCHEMA = {"type": ["string", "number", "boolean"]}
_LIST_SCHEMA = {"type": "array", "items": _SCALAR_SCHEMA, "minItems": 1}
# `not` nests without end; a schema for editors may stop at "an object".
_SCHEMA = {
    "anyOf": [
        _SCALAR_SCHEMA,
        _LIST_SCHEMA,
        {
            "type": "object",
            "properties": {
                "equals": _SCALAR_SCHEMA,
                "one_of": _LIST_SCHEMA,
                "contains": _SCALAR_SCHEMA,
                "contains_all": _LIST_SCHEMA,
                "contains_any": _LIST_SCHEMA,
                "matches": {"type": "string"},
                "exists": {"type": "boolean"},
                "not": {"type": ["object", "string", "number", "boolean", "array"]},
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
    ]
}

ClaimCondition = Annotated[Condition, BeforeValidator(condition), WithJsonSchema(_SCHEMA)]
