"""pydantic's errors as problems of a YAML file: at the right place, in a sentence, with the nearest right key."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config import environment
from gateway.config.model import Config
from gateway.config.problems import Problem
from gateway.config.source import Path_, Source, show
from gateway.config.values import kind

# What stands in for a required key that is missing, so that the rest can be checked.
_PLACEHOLDERS: dict[str, Any] = {
    "issuer": "https://placeholder.invalid",
    "audience": "any",
    "url": "http://placeholder.invalid",
    "path": "/placeholder",
    "requests": 1,
    "per": "1s",
    "origins": "https://placeholder.invalid",
    "routes": [{"path": "/placeholder", "respond": {}, "public": True}],
}
_REPAIRS = 6


def repaired(data: dict[str, Any]) -> tuple[Config | None, list[Path_]]:
    """The configuration without its mistakes, if there is one, and where they were."""
    data = copy.deepcopy(data)
    touched: list[Path_] = []
    for _ in range(_REPAIRS):
        try:
            return Config.model_validate(data), touched
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                path = _data_path(error["loc"], data)
                touched.append(path)
                with contextlib.suppress(KeyError, TypeError, IndexError):  # taken out with a block around it
                    _repair(data, path, error["type"] == "missing")
    return None, touched


def _repair(block: Any, path: Path_, is_missing: bool) -> None:
    """Take one mistake out: the key with the wrong value goes, a missing one gets a placeholder."""
    while path and isinstance(path[-1], int) and len(path) > 2:
        path = path[:-1]  # an element of a list: the list goes; of `routes`, the route is replaced
    for step in path[:-1]:
        block = block[step]
    last: Any = path[-1]
    if is_missing:
        block[last] = copy.deepcopy(_PLACEHOLDERS.get(str(last), ""))
    elif isinstance(block, list):
        block[last] = copy.deepcopy(_PLACEHOLDERS["routes"][0])
    else:
        block.pop(last, None)


def problems(invalid: ValidationError, source: Source, model: type[BaseModel] = Config) -> Iterator[Problem]:
    """Every error of a file that holds a `model` as a problem."""
    for error in invalid.errors(include_url=False):
        path = _data_path(error["loc"], source.data)
        if error["type"] == "extra_forbidden":
            hint = environment.nearest(str(path[-1]), _known_keys(model, path[:-1]))
            place = source.keys.get(path, source.where(path[:-1]))
            yield Problem(place, show(path), f"there is no such key{hint}")
        elif error["type"] == "missing":
            yield Problem(source.where(path[:-1]), show(path), "is missing")
        else:
            yield Problem(source.where(path), show(path), _message(error))


def _data_path(location: tuple[str | int, ...], data: Any) -> Path_:
    """pydantic's location without what is no key: names of alternatives, and `[key]` for the key of a map."""
    path: list[str | int] = []
    for index, step in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(data, dict) and (step in data or is_last):
            path.append(step)
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            path.append(step)
            data = data[step]
    return tuple(path)


def _known_keys(model: type[BaseModel], path: Path_) -> list[str]:
    """The keys of the block at a path."""
    annotation: Any = model
    for step in path:
        annotation = _member(annotation, step)
    block = _block_in(annotation)
    return [field.alias or name for name, field in block.model_fields.items()] if block is not None else []


def _member(annotation: Any, step: str | int) -> Any:
    """The annotation of a block's field, or of the members of a map or list."""
    block = _block_in(annotation)
    if block is not None and not _is_collection(annotation):
        field = block.model_fields.get(str(step))
        return field.annotation if field is not None else None
    return block


def _is_collection(annotation: Any) -> bool:
    if get_origin(annotation) in (dict, tuple):
        return True
    return any(_is_collection(argument) for argument in get_args(annotation))


def _block_in(annotation: Any) -> type[BaseModel] | None:
    """The block behind an annotation such as `tuple[Route, ...]` or `Tls | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _block_in(argument)) is not None), None)


def _message(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    given = kind(error.get("input"))
    wanted = {
        "string_type": "a text",
        "bool_type": "true or false",
        "int_type": "a number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "dict_type": "a block of keys and values",
        "model_type": "a block of keys and values",
        "model_attributes_type": "a block of keys and values",
        "tuple_type": "a list",
        "list_type": "a list",
    }
    if error["type"] in wanted:
        return f"must be {wanted[error['type']]}, not {given}"
    if error["type"] == "value_error":
        return str(context["error"])
    if error["type"] == "literal_error":
        choice = error.get("input")
        expected = str(context["expected"])
        hint = environment.nearest(choice, _choices(expected)) if isinstance(choice, str) else ""
        return f"must be one of {expected.replace(chr(39), '')}{hint}"
    if error["type"] == "too_short":
        return "must not be empty"
    bounds = {"less_than_equal": ("at most", "le"), "greater_than_equal": ("at least", "ge")}
    words, bound = bounds.get(error["type"], ("", ""))
    return f"must be {words} {context[bound]:g}" if words else f"can't be used: {error['type'].replace('_', ' ')}"


def _choices(expected: str) -> list[str]:
    return [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]
