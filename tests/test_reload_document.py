"""What docs/reload.md shows is what happens: its commands, in turn, beside a gateway with its configuration."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gateway.process.single import SingleProcess
from tests.crew import until
from tests.documents import ROOT, SECRET, blocks
from tests.gateway_process import GatewayProcess
from tests.reloading import RELOADED
from tests.services import free_port
from tests.test_documented_commands import Shell, lasting

DOCUMENT = ROOT / "docs/reload.md"
SINCE = re.compile(r'"since": [\d.]+')


@dataclass
class Addresses:
    """Where the gateway is; all that `Shell` asks of it for curl."""

    addresses: list[str]
    admin_address: str


def ran(command: str, shell: Shell) -> str:
    """What a command prints."""
    if command.startswith("curl "):
        return asyncio.run(shell.run(command, ""))
    program, _, rest = command.partition(" ")
    program = f"{shlex.quote(sys.executable)} -m gateway" if program == "oauth-gateway" else program
    return subprocess.run(
        ["sh", "-c", f"{program} {rest}"],
        cwd=shell.folder,
        env=shell.environ,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def test_its_commands_do_and_print_what_it_says(tmp_path: Path) -> None:
    (_, configuration), *_ = blocks(DOCUMENT, "yaml")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/gateway.yaml").write_text(configuration)
    port, admin_port, log_path = free_port(), free_port(), tmp_path / "log"
    environ = {
        **os.environ,
        "ADMIN_TOKEN": SECRET,
        "OAUTH_GATEWAY__LISTEN": f"127.0.0.1:{port}",
        "OAUTH_GATEWAY__ADMIN__LISTEN": f"127.0.0.1:{admin_port}",
        "PYTHONPATH": str(ROOT),
    }
    with log_path.open("wb") as log:
        command = [sys.executable, "-m", "gateway", "serve", "-c", "config/gateway.yaml"]
        process = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=log, stderr=log)
    gateway = GatewayProcess(port, admin_port, process, log_path)
    try:
        gateway.until("/readyz", 200, 60)
        there = Addresses([f"127.0.0.1:{port}"], f"127.0.0.1:{admin_port}")
        variables = {"PID": str(process.pid), "ADMIN_TOKEN": SECRET}
        shell = Shell(tmp_path, cast("SingleProcess", there), variables, {**environ, **variables})
        shown = 0
        for line, text in blocks(DOCUMENT, "console"):
            for command_line, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
                if command_line.startswith("kill "):
                    before = gateway.log.count(RELOADED)
                printed = ran(command_line, shell)
                told = [SINCE.sub("", line) for line in lasting(printed)]
                assert told == [SINCE.sub("", line) for line in lasting(output)], f"{line}: {command_line}"
                shown += 1
        until(lambda: gateway.log.count(RELOADED) > before, told=lambda: gateway.log)
        assert shown == 8
        assert gateway.ask("/health")[0] == 200
        for event in re.findall(r"`(configuration (?:not )?reloaded \()", DOCUMENT.read_text()):
            assert event in gateway.log
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0
