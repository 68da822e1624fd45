"""Keys on disk: what is not exactly what was written there is not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.oauth.key_store import KeyStore


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"[]", b'{"issuer": "https://x", "document": {}, "fetched_at": 1}', b'{"fetched_at": "1"}'],
)
def test_stored_keys_that_are_damaged_are_ignored(tmp_path: Path, content: bytes) -> None:
    store = KeyStore(tmp_path)
    store.save("https://as.example", {"keys": []}, 1.0)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert store.load("https://as.example") is None


def test_a_folder_that_can_not_be_written_stops_nothing() -> None:
    KeyStore(Path("/proc/nowhere")).save("https://as.example", {"keys": []}, 1.0)


def test_stored_keys_that_everybody_may_write_are_ignored(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    store.save("https://as.example", {"keys": []}, 1.0)
    (file,) = tmp_path.iterdir()
    file.chmod(0o602)
    assert store.load("https://as.example") is None


def test_a_file_that_somebody_else_owns_or_may_write_is_ignored(tmp_path: Path) -> None:
    KeyStore(tmp_path).save("https://as.example", {"keys": []}, 1.0)
    assert KeyStore(tmp_path).load("https://as.example") is not None
    assert KeyStore(tmp_path, owner=os.geteuid() + 1).load("https://as.example") is None
    (file,) = tmp_path.iterdir()
    file.chmod(0o666)
    assert KeyStore(tmp_path).load("https://as.example") is None
