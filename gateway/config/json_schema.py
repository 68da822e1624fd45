"""Defaults of the JSON Schema as the YAML writes them: `10m` and `32KiB`, where the types hold seconds and bytes."""

from __future__ import annotations

from typing import Any

from gateway.config.values import DURATION_SCHEMA, SIZE_SCHEMA

_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def with_written_defaults(schema: Any) -> Any:
    """The same schema, with each default as one would write it. A block has none: its keys have theirs."""
    if isinstance(schema, list):
        return [with_written_defaults(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: with_written_defaults(part) for key, part in schema.items() if key != "default"}
    if "default" in schema and "$ref" not in schema:
        written = _written(schema)
        return parts if written == [] and "anyOf" in schema else {"default": written, **parts}
    return parts


def _written(schema: dict[str, Any]) -> Any:
    value = schema["default"]
    if schema.get("pattern") == DURATION_SCHEMA["pattern"]:
        return duration(value)
    if schema.get("pattern") == SIZE_SCHEMA["pattern"]:
        return size(value)
    if isinstance(value, list):
        return ["-".join(map(str, member)) if isinstance(member, list) else member for member in value]
    return value


def duration(seconds: float) -> str:
    """Seconds as the configuration writes them, in the largest unit that fits: `10m`, `200ms`."""
    milliseconds = round(seconds * 1000)
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % length == 0 and (milliseconds or unit == "s"):
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"


def size(number: int) -> str:
    """Bytes as the configuration writes them: `32KiB`."""
    for unit, length in _UNITS:
        if number and number % length == 0:
            return f"{number // length}{unit}"
    return str(number)
