"""Who runs the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.token.command import User


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Somebody with an empty home folder."""
    home = tmp_path / "home"
    home.mkdir()
    return User(home)
