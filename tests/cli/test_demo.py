"""The demo as a process: what it promises on the screen is what happens when the lines are pasted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.demo.stories import STORIES

COMMAND = (sys.executable, "-m", "gateway", "demo")
SECONDS = 20.0
# A token has to expire in it, and a device has to wait.
TOUR_SECONDS = 180.0
STATUSES = {
    "a public route": 200,
    "no token": 401,
    "good token": 200,
    "missing scope": 403,
    "the scope it needs": 201,
    "expired token": 401,
    "wrong tenant": 403,
}


@dataclass
class Demo:
    """A running demo; its temporary folder is below `folder`."""

    process: subprocess.Popen[bytes]
    folder: Path
    output: Path

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def configuration(self) -> Path:
        return Path(re.findall(r"^configuration +(.+)$", self.text, re.MULTILINE)[0])

    @property
    def variables(self) -> str:
        return "\n".join(re.findall(r"^[A-Z]+='.+'$", self.text, re.MULTILINE))

    def paste(self, line: str) -> subprocess.CompletedProcess[str]:
        """What a shell that was given the variables makes of a printed line."""
        script = f"{self.variables}\n{line}"
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False)


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Demo]:
    """Start the demo and wait for its last line."""
    output = folder / "output"
    with output.open("wb") as file:
        environ = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen([*COMMAND, *arguments], stdout=file, stderr=subprocess.STDOUT, env=environ)
    demo = Demo(process, folder, output)
    try:
        deadline = time.monotonic() + SECONDS
        while "Ctrl-C ends" not in demo.text:
            assert process.poll() is None, demo.text
            assert time.monotonic() < deadline, demo.text
            time.sleep(0.05)
        yield demo
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    # The blank is part of the test: printed lines quote the configuration's path.
    folder = tmp_path / "a folder"
    folder.mkdir()
    with running(folder, "--port", "0") as started:
        yield started


def test_once_it_makes_the_requests_itself_and_tells_what_came_of_them() -> None:
    told = subprocess.run([*COMMAND, "--once", "--port", "0"], capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    answers = re.findall(r"^(\w.+): (\d+), expected (\d+)$", told.stdout, re.MULTILINE)
    assert answers == [(title, str(status), str(status)) for title, status in STATUSES.items()]
    assert told.stdout.count("\n    => ") == len(STATUSES)
    assert "\n       upstream gets: POST /orders/acme\n" in told.stdout
    assert told.stdout.endswith("\nevery answer was as expected\n")
    assert told.stderr == ""


def test_the_tour_on_the_terminal_plays_every_story_and_tells_whether_it_went_as_told() -> None:
    command = [*COMMAND, "--tour", "--port", "0"]
    told = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TOUR_SECONDS, check=False
    )
    assert (told.returncode, told.stderr) == (0, ""), told.stdout + told.stderr
    for story in STORIES:
        assert f"\n{story.title}: {story.subtitle} (" in told.stdout
    assert told.stdout.count("\n    < HTTP/1.1 ") > 40
    assert told.stdout.endswith("\nevery step went as told\n")
    # It waits for nobody, has no colours, and shows no token that could be used.
    assert "[Enter]" not in told.stdout
    assert "\x1b" not in told.stdout
    assert not re.search(r"eyJ[\w-]{20,}\.[\w-]{20,}\.", told.stdout)


def test_a_signal_ends_the_tour_as_one_that_is_not_finished(tmp_path: Path) -> None:
    output, folder = tmp_path / "output", tmp_path / "folder"
    folder.mkdir()
    with output.open("wb") as file:
        environ = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen(
            [*COMMAND, "--tour", "--port", "0"], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environ
        )
    deadline = time.monotonic() + SECONDS
    while "1. Ask without a token" not in output.read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 1
    assert output.read_text().endswith("\nended\n")
    assert list(folder.iterdir()) == []


def test_two_things_to_play_are_one_too_many() -> None:
    told = subprocess.run([*COMMAND, "--tour", "--once"], capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 2
    assert "--once and --tour can't both be" in told.stderr


def test_the_guided_tour_is_at_the_printed_address(demo: Demo) -> None:
    (address,) = re.findall(r"^guided tour +(http://127\.0\.0\.1:\d+/)$", demo.text, re.MULTILINE)
    with urllib.request.urlopen(address, timeout=SECONDS) as page:
        assert b"OAuth 2, click by click" in page.read()


def test_every_printed_line_can_be_pasted_and_gives_what_it_says(demo: Demo) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    printed = re.findall(r"^# (.+): (\d+)\n(curl .+)$", demo.text, re.MULTILINE)
    assert {title: int(status) for title, status, _ in printed} == STATUSES
    answers = {title: demo.paste(line).stdout for title, _, line in printed}
    assert {title: int(answer.split()[1]) for title, answer in answers.items()} == STATUSES
    assert '"X-Auth-Subject": "demo-service"' in answers["good token"]
    assert '"item": "hammer"' in answers["the scope it needs"]

    (fetch,) = re.findall(r"^curl -s -u .+$", demo.text, re.MULTILINE)
    token = json.loads(demo.paste(fetch).stdout)["access_token"]
    (line,) = (line for title, _, line in printed if title == "good token")
    assert demo.paste(f"GOOD='{token}'\n{line}").stdout.startswith("HTTP/1.1 200 ")


def test_its_configuration_can_be_checked_and_explained_with_the_printed_lines(demo: Demo) -> None:
    (check,) = re.findall(r"^.+ check -c .+$", demo.text, re.MULTILINE)
    (explain,) = re.findall(r"^.+ explain GET .+$", demo.text, re.MULTILINE)
    assert demo.paste(check).returncode == 0
    told = demo.paste(explain)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "=> allowed" in told.stdout


def test_it_writes_no_colours_where_nobody_would_see_them(demo: Demo) -> None:
    assert "\x1b" not in demo.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_and_removes_its_folder(demo: Demo, number: signal.Signals) -> None:
    assert demo.configuration.is_file()
    demo.process.send_signal(number)
    assert demo.process.wait(SECONDS) == 0
    assert demo.text.endswith("\nended\n")
    assert list(demo.folder.iterdir()) == [demo.output]


def test_a_taken_port_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        environ = {**os.environ, "TMPDIR": str(tmp_path)}
        command = [*COMMAND, "--port", str(port)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert f"127.0.0.1:{port}: Address already in use" in told.stderr
    assert "Try --port 0." in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_port_it_finds_one_beside_whoever_has_the_usual_one(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        # Whether it is this test or another program that has 8080 does not matter.
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", 8080)))
        with running(tmp_path) as demo:
            (port,) = re.findall(r"^gateway +http://127\.0\.0\.1:(\d+)$", demo.text, re.MULTILINE)
            assert port not in ("0", "8080")


def test_a_reader_who_goes_away_is_not_called_a_port(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with errors.open("wb") as file:
        process = subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=file)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(SECONDS) == 1
    assert errors.read_text() == ""


def test_a_signal_while_it_starts_ends_it_cleanly_too(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    with (tmp_path / "output").open("wb") as file:
        environ = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen([*COMMAND, "--port", "0"], stdout=file, stderr=subprocess.STDOUT, env=environ)
    deadline = time.monotonic() + SECONDS
    # The folder is the first thing it makes, before anything listens.
    while not any(folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.terminate()
    assert process.wait(SECONDS) == 0
    assert list(folder.iterdir()) == []
