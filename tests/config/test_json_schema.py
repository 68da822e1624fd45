"""What an editor is shown of the configuration: a description and a default for every key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from gateway.config import schema
from gateway.config.json_schema import duration, size, with_written_defaults
from gateway.config.values import duration as seconds
from gateway.config.values import size as number

SCHEMA = schema()


def keys(part: Any = SCHEMA, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each key of each block, with its schema."""
    for name, block in [("", part), *part["$defs"].items()]:
        for key, value in block["properties"].items():
            yield f"{name}.{key}", value


KEYS = [pytest.param(value, id=key) for key, value in keys()]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_has_a_description_and_a_default_that_is_a_good_value(key: dict[str, Any]) -> None:
    assert len(key["description"]) > 3
    if "default" in key:
        jsonschema.validate(key["default"], {**key, "$defs": SCHEMA["$defs"]})


def test_every_block_has_a_description() -> None:
    assert [name for name, block in SCHEMA["$defs"].items() if not block.get("description")] == []


def test_defaults_are_written_as_in_the_file() -> None:
    defaults = {key: value.get("default") for key, value in keys()}
    assert defaults["Keys.refresh"] == "10m"
    assert defaults["Keys.max_stale"] == "24h"
    assert defaults["Limits.request_head"] == "32KiB"
    assert defaults["Redis.timeout"] == "200ms"
    assert defaults["Health.status"] == ["200-399"]
    assert defaults["Retry.methods"] == ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
    assert defaults["Introspection.signed_response"] is False


@pytest.mark.parametrize("key", ["admin", "limits", "timeouts", "route_defaults", "errors", "log"])
def test_a_block_has_no_default_beside_those_of_its_keys(key: str) -> None:
    assert "default" not in SCHEMA["properties"][key]


def test_a_list_that_must_not_be_empty_has_no_empty_default() -> None:
    listed = {"anyOf": [{"type": "array", "minItems": 1}], "default": []}
    assert with_written_defaults({"secret": listed}) == {"secret": {"anyOf": [{"type": "array", "minItems": 1}]}}
    assert with_written_defaults({"type": "array", "default": []}) == {"default": [], "type": "array"}


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0s"), (0.2, "200ms"), (1.5, "1500ms"), (30.0, "30s"), (75.0, "75s"), (600.0, "10m"), (86_400.0, "24h")],
)
def test_a_duration_reads_back_as_what_it_was(value: float, written: str) -> None:
    assert duration(value) == written
    assert seconds(written) == value


@pytest.mark.parametrize(
    ("value", "written"), [(0, "0"), (1000, "1000"), (8192, "8KiB"), (10 * 2**20, "10MiB"), (2**30, "1GiB")]
)
def test_a_size_reads_back_as_what_it_was(value: int, written: str) -> None:
    assert size(value) == written
    assert number(written) == value
