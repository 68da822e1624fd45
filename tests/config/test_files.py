"""Which changes of files are worth a look, and when: not while somebody is still writing."""

from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path

import pytest

from gateway.config import ConfigFiles, load
from tests.documents import with_files

SECONDS = itertools.count(1)
ROUTES = "routes: [{path: /, public: true, respond: {}}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(ROUTES)
    return path


def write(path: Path, text: str) -> None:
    """Write so that the change shows in the time of the file, however coarse its clock is."""
    path.write_text(text)
    later = time.time_ns() + next(SECONDS) * 10**9
    os.utime(path, ns=(later, later))


def looks(files: ConfigFiles, count: int = 3) -> list[bool]:
    return [files.look() for _ in range(count)]


def test_a_change_is_told_once_and_when_two_looks_have_found_the_same(file: Path) -> None:
    files = ConfigFiles(file, {})
    assert looks(files) == [False, False, False]
    write(file, ROUTES + "workers: 2\n")
    assert looks(files, 2) == [False, True]
    files.note()
    assert looks(files) == [False, False, False]


def test_a_file_that_is_being_written_is_left_alone_but_not_for_ever(file: Path) -> None:
    files = ConfigFiles(file, {})
    found = []
    for number in range(6):
        write(file, ROUTES * (number + 2))
        found.append(files.look())
    assert found == [False, False, False, False, True, True]
    write(file, ROUTES)
    files.note()
    assert looks(files) == [False, False, False]


def test_a_file_that_says_what_it_said_has_not_changed(file: Path) -> None:
    files = ConfigFiles(file, {})
    write(file, ROUTES)
    assert looks(files) == [False, False, False]
    # Another file in its place, with the same words.
    beside = file.with_name("beside")
    beside.write_text(ROUTES)
    beside.replace(file)
    assert looks(files) == [False, False, False]


def test_a_file_that_goes_and_comes_back_is_a_change_only_if_it_is_gone_for_longer(file: Path) -> None:
    files = ConfigFiles(file, {})
    file.unlink()
    assert files.look() is False
    write(file, ROUTES)
    assert looks(files) == [False, False, False]
    file.unlink()
    assert looks(files, 2) == [False, True]


def test_a_pipe_is_left_to_whoever_loads_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    files = ConfigFiles(pipe, {})
    threading.Thread(target=pipe.write_text, args=[ROUTES], daemon=True).start()
    assert load(pipe, {}).routes[0].path == ("/",)
    assert not any(looks(files))


def test_yaml_files_of_a_folder_count_and_no_others(tmp_path: Path, file: Path) -> None:
    files = ConfigFiles(tmp_path, {})
    (tmp_path / "notes.txt").write_text("x")
    assert looks(files) == [False, False, False]
    (tmp_path / "b.yaml").write_text("workers: 2\n")
    assert looks(files, 2) == [False, True]
    files.note()
    (tmp_path / "b.yaml").unlink()
    assert looks(files, 2) == [False, True]


def test_files_that_values_name_count_too_also_those_that_are_not_there_yet(tmp_path: Path, file: Path) -> None:
    secret, other = tmp_path / "secret", tmp_path / "other"
    environ = {"OAUTH_GATEWAY__REDIS__SECRET": f"${{file:{other}}}"}
    write(file, f"{ROUTES}admin: {{token: '${{file:{secret}}}'}}\n")
    files = ConfigFiles(file, environ)
    for path in (secret, other):
        for text in ("a", "b"):
            write(path, text)
            assert looks(files, 2) == [False, True], path
            files.note()


def test_a_file_that_is_named_by_a_change_counts_from_then_on(tmp_path: Path, file: Path) -> None:
    files = ConfigFiles(file, {})
    secret = tmp_path / "secret"
    write(file, f"{ROUTES}admin: {{token: '${{file:{secret}}}'\n")  # no YAML, at that
    assert looks(files, 2) == [False, True]
    files.note()
    write(secret, "x")
    assert looks(files, 2) == [False, True]


def test_files_that_are_read_once_when_the_gateway_is_built_count_while_they_are_in_use(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    text = """
issuers:
  corp:
    issuer: https://a.example
    audience: a
    jwks_file: /run/secrets/keys.json
    introspection:
      {client_id: gateway, client_auth: private_key_jwt, client_key: /run/secrets/client.pem}
routes: [{path: /, respond: {}}]
"""
    file.write_text(with_files(text, tmp_path))
    files = ConfigFiles(file, {})
    config = load(file, {})
    files.follow(config, is_in_use=True)
    write(tmp_path / "client.pem", "another one")
    assert looks(files, 2) == [False, True]
    files.note()
    # Keys are read again by whoever uses them, unless they are what keeps the configuration from being used.
    write(tmp_path / "keys.json", "{}")
    assert looks(files) == [False, False, False]
    files.follow(config, is_in_use=False)
    write(tmp_path / "keys.json", "{ }")
    assert looks(files, 2) == [False, True]
    files.follow(config, is_in_use=True)
    files.note()
    write(tmp_path / "keys.json", "{  }")
    assert looks(files) == [False, False, False]
