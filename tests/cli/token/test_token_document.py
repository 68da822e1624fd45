"""The shell lines of docs/token.md, run as they stand against the server that they speak of."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.cli.token.command import ROOT
from tests.devauth_process import running_devauth
from tests.services import find_program

DOCUMENT = ROOT / "docs" / "token.md"


def test_every_block_of_the_document_runs_in_a_shell(tmp_path: Path) -> None:
    shell = find_program("bash")
    program = tmp_path / "bin" / "oauth-gateway"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gateway "$@"\n')
    program.chmod(0o755)
    blocks = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with running_devauth(tmp_path) as devauth:
        script = "\necho ---\n".join(blocks).replace("http://127.0.0.1:9400", devauth.issuer)
        ran = subprocess.run(
            [shell, "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env={
                "PATH": f"{program.parent}:/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": str(ROOT),
                "XDG_STATE_HOME": str(tmp_path / "state"),
                "BROWSER": shlex.join([sys.executable, "-m", "tests.form_browser"]),
            },
        )
    assert ran.returncode == 0, ran.stderr
    service, web, refreshed, shown, judged, revoked = (part.strip() for part in ran.stdout.split("---"))
    for token in (service, web, refreshed):
        assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
    assert len({service, web, refreshed}) == 3
    assert '"demo-service"  (about whom)' in shown
    assert "nothing of this is proven" in shown
    assert "=> accepted as a token of issuer given" in judged
    assert revoked == ""
    assert ran.stderr.endswith("revoked 1 stored token\n")
    (file,) = (tmp_path / "state" / "oauth-gateway" / "tokens").glob("*.json")
    assert json.loads(file.read_text())["client_id"] == "demo-service"


def test_the_document_names_every_exit_status_and_every_way_to_get_a_token() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for status in (0, 1, 2, 3, 4, 130):
        assert re.search(rf"^\| {status} \| ", text, re.MULTILINE)
    for grant in ("client_credentials", "authorization_code", "device_code", "refresh_token"):
        assert f"### {grant} (RFC " in text
