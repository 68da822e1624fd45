"""From a file and the environment to a `Config`, or to every problem at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError

from gateway.config import check, environment, validation
from gateway.config.json_schema import with_written_defaults
from gateway.config.model import Config
from gateway.config.problems import ConfigError, ConfigUnreadable, Location, Problem
from gateway.config.source import Path_, Source, from_mapping, read, show

DEFAULT_PATH = "config/gateway.yaml"
# Of these blocks a route keeps what the defaults say and it does not; any other key replaces the default's.
_REFERENCE = {"type": "string", "pattern": r"^\$\{.*\}$"}
_MERGED = ("require", "request_headers", "response_headers")

_Lent = list[tuple[dict[Path_, Location], list[tuple[Path_, Location]]]]
"""Places by path, and those of them that stand below `route_defaults`, by their path from there."""


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
    place = found(path, environ)
    if not place.exists():
        raise ConfigUnreadable([Problem(Location(str(place), 0, 0), "", "there is no such file or folder")])
    return _validated(read(place), environ)


def found(path: str | Path | None, environ: Mapping[str, str]) -> Path:
    """The file or folder to read; it need not be there."""
    return Path(path or environ.get("OAUTH_GATEWAY_CONFIG") or DEFAULT_PATH)


def parse(data: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """The same from a mapping; the environment is used only when it is given. Raises `ConfigError`."""
    return _validated(from_mapping(dict(data)), {} if environ is None else environ)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the configuration, for editors."""
    document = _with_references(with_written_defaults(Config.model_json_schema(by_alias=True)))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "oauth-gateway", **document}


def _with_references(schema: Any) -> Any:
    """The same schema, in which a `${…}` reference may stand for any number or truth value."""
    if isinstance(schema, list):
        return [_with_references(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: _with_references(part) for key, part in schema.items()}
    if parts.get("type") in ("integer", "number", "boolean"):
        outer = {key: parts.pop(key) for key in ("default", "description", "title") if key in parts}
        return {**outer, "anyOf": [parts, _REFERENCE]}
    return parts


def _validated(source: Source, environ: Mapping[str, str]) -> LoadedConfig:
    problems = environment.override(source, environ, schema)
    problems += environment.substitute(source, environ)
    if problems:
        raise ConfigError(problems)
    _apply_defaults(source)
    places = Places(source)
    try:
        config = LoadedConfig.model_validate(source.data)
    except ValidationError as invalid:
        problems = list(validation.problems(invalid, source))
        # The rules between fields are checked on what is left when the mistakes are taken out: all at once.
        repaired, touched = validation.repaired(source.data)
        if repaired is not None:
            problems += [
                places.problem(path, message)
                for path, message in check.findings(repaired)
                if not any(_concerns(path, mistake) for mistake in touched)
            ]
        raise ConfigError(problems) from None
    config._places = places
    problems = [places.problem(path, message) for path, message in check.findings(config)]
    if problems:
        raise ConfigError(problems)
    return config


def _concerns(path: Path_, mistake: Path_) -> bool:
    """Whether a finding at `path` may be a mere consequence of a mistake: one lies within the other."""
    shorter = min(len(path), len(mistake))
    return path[:shorter] == mistake[:shorter]


def _apply_defaults(source: Source) -> None:
    """Put `route_defaults` below each route, places and all."""
    defaults, routes = source.data.get("route_defaults"), source.data.get("routes")
    if not isinstance(defaults, dict) or not isinstance(routes, list):
        return
    # Picked out once: looking for them among the places of all routes, once a route, took minutes for 2,000 routes.
    lent = [
        (places, [(path[1:], place) for path, place in places.items() if path[:1] == ("route_defaults",)])
        for places in (source.keys, source.values)
    ]
    source.data["routes"] = [
        _with_defaults(route, defaults, lent, index) if isinstance(route, dict) else route
        for index, route in enumerate(routes)
    ]


def _with_defaults(route: dict[str, Any], defaults: dict[str, Any], lent: _Lent, index: int) -> dict[str, Any]:
    merged = {**defaults, **route}
    for key in defaults:
        if key not in route:
            _borrow_places(lent, (key,), index)
        elif key in _MERGED and isinstance(route[key], dict) and isinstance(defaults[key], dict):
            merged[key] = {**defaults[key], **route[key]}
            for inner in defaults[key]:
                if inner not in route[key]:
                    _borrow_places(lent, (key, inner), index)
    return merged


def _borrow_places(lent: _Lent, what: Path_, index: int) -> None:
    for places, defaults in lent:
        for path, place in defaults:
            if path[: len(what)] == what:
                places[("routes", index, *path)] = place
