"""From a file and the environment to a `Config`, or to every problem at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from gateway.config import check, environment
from gateway.config.model import Config
from gateway.config.problems import ConfigError, ConfigUnreadable, Location, Problem
from gateway.config.source import Path_, Source, from_mapping, read, show
from gateway.config.values import kind

DEFAULT_PATH = "config/gateway.yaml"
# Of these blocks a route keeps what the defaults say and it does not; any other key replaces the default's.
_MERGED = ("require", "request_headers", "response_headers")


class Places:
    """Where each key of a configuration stands, for messages and for `explain`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def where(self, path: Path_) -> str:
        """`file:line` of a value, or else of the nearest block around it."""
        return str(self._source.where(path))

    def problem(self, path: Path_, message: str) -> Problem:
        """A problem at that place."""
        location = self._source.where(path)
        return Problem(location, show(path), message)


class LoadedConfig(Config):
    """A configuration that knows where it stands."""

    _places: Places = PrivateAttr()

    @property
    def places(self) -> Places:
        """Where each key stands."""
        return self._places


def load(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Read a file or folder: `path`, else what OAUTH_GATEWAY_CONFIG names, else config/gateway.yaml.

    Raises `ConfigUnreadable` when there is nothing to read, `ConfigError` with every problem of what was read.
    """
    environ = os.environ if environ is None else environ
    found = Path(path or environ.get("OAUTH_GATEWAY_CONFIG") or DEFAULT_PATH)
    if not found.exists():
        raise ConfigUnreadable([Problem(Location(str(found), 0, 0), "", "there is no such file or folder")])
    return _validated(read(found), environ)


def parse(data: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """The same from a mapping; the environment is used only when it is given. Raises `ConfigError`."""
    return _validated(from_mapping(dict(data)), {} if environ is None else environ)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the configuration, for editors."""
    document = Config.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "oauth-gateway", **document}


def _validated(source: Source, environ: Mapping[str, str]) -> LoadedConfig:
    problems = environment.override(source, environ, schema())
    problems += environment.substitute(source, environ)
    if problems:
        raise ConfigError(problems)
    _apply_defaults(source)
    try:
        config = LoadedConfig.model_validate(source.data)
    except ValidationError as invalid:
        raise ConfigError(list(_problems(invalid, source))) from None
    config._places = places = Places(source)
    problems = [places.problem(path, message) for path, message in check.findings(config)]
    if problems:
        raise ConfigError(problems)
    return config


def _apply_defaults(source: Source) -> None:
    """Put `route_defaults` below each route, places and all."""
    defaults, routes = source.data.get("route_defaults"), source.data.get("routes")
    if not isinstance(defaults, dict) or not isinstance(routes, list):
        return
    source.data["routes"] = [
        _with_defaults(route, defaults, source, index) if isinstance(route, dict) else route
        for index, route in enumerate(routes)
    ]


def _with_defaults(route: dict[str, Any], defaults: dict[str, Any], source: Source, index: int) -> dict[str, Any]:
    merged = {**defaults, **route}
    for key in defaults:
        if key not in route:
            _borrow_places(source, ("route_defaults", key), ("routes", index, key))
        elif key in _MERGED and isinstance(route[key], dict) and isinstance(defaults[key], dict):
            merged[key] = {**defaults[key], **route[key]}
            for inner in defaults[key]:
                if inner not in route[key]:
                    _borrow_places(source, ("route_defaults", key, inner), ("routes", index, key, inner))
    return merged


def _borrow_places(source: Source, lender: Path_, borrower: Path_) -> None:
    for places in (source.keys, source.values):
        for path, place in list(places.items()):
            if path[: len(lender)] == lender:
                places[borrower + path[len(lender) :]] = place


def _problems(invalid: ValidationError, source: Source) -> Iterator[Problem]:
    for error in invalid.errors(include_url=False):
        path = _data_path(error["loc"], source.data)
        if error["type"] == "extra_forbidden":
            hint = environment.nearest(str(path[-1]), _known_keys(path[:-1]))
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


def _known_keys(path: Path_) -> list[str]:
    """The keys of the block at a path."""
    model: Any = Config
    for step in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(step))
            model = field.annotation if field is not None else None
        model = _block_in(model)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _block_in(annotation: Any) -> Any:
    """The block behind an annotation such as `tuple[Route, ...]` or `Tls | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _block_in(argument)
        if found is not None:
            return found
    return None


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
    # pydantic's own sentences for bounds: "Input should be less than or equal to 599".
    return error["msg"].replace("Input should be", "must be")


def _choices(expected: str) -> list[str]:
    return [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]
