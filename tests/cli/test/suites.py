"""A configuration and a file of policy tests, read and run as the command does it, without a process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.test import file, judge
from gateway.cli.test.file import Suite
from gateway.cli.test.judge import Result
from gateway.config import Config, ConfigError, parse

ISSUER = {"issuer": "https://login.example.com", "audience": "orders-api"}
ROUTES = [
    {"name": "read", "path": "/orders/{tenant}", "methods": ["GET"], "upstream": "orders", "require": {
        "scopes": ["orders:read"], "claims": {"tenant": "{tenant}"}}},
    {"name": "any", "path": "/any", "upstream": "orders"},
    {"name": "hello", "path": "/hello", "public": True, "respond": {"body": "hi"}},
]  # fmt: skip


def configuration(*routes: Mapping[str, Any], issuer: Mapping[str, Any] | None = None, **changes: Any) -> Config:
    """One issuer whose keys would be fetched, and an upstream where nothing listens."""
    return parse(
        {
            "issuers": {"corp": {**ISSUER, **(issuer or {})}},
            "upstreams": {"orders": {"url": "http://upstream.invalid:9000/base"}},
            "routes": list(routes) or ROUTES,
            **changes,
        }
    )


def suite(folder: Path, *tests: Mapping[str, Any], config: Config | None = None, text: str = "") -> Suite:
    """A file with these tests; those without a name are numbered."""
    path = folder / "policy.yaml"
    named = [{"name": f"test {number}", **test} for number, test in enumerate(tests)]
    path.write_text(text or json.dumps({"tests": named}, ensure_ascii=False), encoding="utf-8")  # JSON is YAML
    return file.load(path, config or configuration())


def problems(folder: Path, text: str, config: Config | None = None) -> list[str]:
    """What is wrong with a file, without its name."""
    with pytest.raises(ConfigError) as refused:
        suite(folder, text=text, config=config)
    return [str(problem).removeprefix(f"{folder}/policy.yaml:") for problem in refused.value.problems]


async def results(folder: Path, *tests: Mapping[str, Any], config: Config | None = None) -> list[Result]:
    """What came of each test."""
    config = config or configuration()
    [report] = await judge.run(config, [suite(folder, *tests, config=config)])
    return list(report.results)


async def verdict(
    folder: Path,
    token: Mapping[str, Any] | str = "none",
    url: str = "/any",
    config: Config | None = None,
    **request: Any,
) -> tuple[int, str | None]:
    """Status and reason of a request; 200 for one that may pass."""
    test = {"request": {"url": url, **request}, "token": token, "expect": {"allow": True}}
    [result] = await results(folder, test, config=config)
    assert result.is_passed is result.explanation.allowed
    return result.explanation.status, result.explanation.reason
