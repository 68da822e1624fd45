"""Keys on disk: what is not exactly what was written there is not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.oauth.key_store import FolderKeyStore


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"[]", b'{"issuer": "https://x", "document": {}, "fetched_at": 1}', b'{"fetched_at": "1"}'],
)
async def test_stored_keys_that_are_damaged_are_ignored(tmp_path: Path, content: bytes) -> None:
    store = FolderKeyStore(tmp_path)
    await store.save("https://as.example", {"keys": []}, 1.0)
    only_file(tmp_path).write_bytes(content)
    assert await store.load("https://as.example") is None


async def test_a_folder_that_can_not_be_written_stops_nothing() -> None:
    await FolderKeyStore(Path("/proc/nowhere")).save("https://as.example", {"keys": []}, 1.0)


async def test_stored_keys_that_everybody_may_write_are_ignored(tmp_path: Path) -> None:
    store = FolderKeyStore(tmp_path)
    await store.save("https://as.example", {"keys": []}, 1.0)
    only_file(tmp_path).chmod(0o602)
    assert await store.load("https://as.example") is None


async def test_a_file_that_somebody_else_owns_or_may_write_is_ignored(tmp_path: Path) -> None:
    await FolderKeyStore(tmp_path).save("https://as.example", {"keys": []}, 1.0)
    assert await FolderKeyStore(tmp_path).load("https://as.example") is not None
    assert await FolderKeyStore(tmp_path, owner=os.geteuid() + 1).load("https://as.example") is None
    only_file(tmp_path).chmod(0o666)
    assert await FolderKeyStore(tmp_path).load("https://as.example") is None
