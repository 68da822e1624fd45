"""The servers that the interoperability tests run against."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.provider import FOLDER, Provider, Upstream, running_upstream
from tests.services import free_port


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """Not started yet."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed, and oidc-provider needs it")
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        pytest.skip("oidc-provider is not installed; scripts/test installs it where npm is")
    made = Provider(free_port(), tmp_path)
    made.write_keys()
    yield made
    made.stop()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as api:
        yield api
