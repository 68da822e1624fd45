"""The shell lines of docs/devauth.md, run as they stand against the server that they speak of."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.devauth_process import running_devauth
from tests.services import find_program

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "devauth.md"


def test_every_flow_of_the_document_runs_in_a_shell(tmp_path: Path) -> None:
    shell, *_ = map(find_program, ("bash", "curl", "openssl"))
    blocks = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with running_devauth(tmp_path) as devauth:
        script = "\necho\necho ---\n".join(blocks).replace("http://127.0.0.1:9400", devauth.issuer)
        ran = subprocess.run(
            [shell, "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        )
    service, link, _, userinfo, refreshed, device, registered = (part.strip() for part in ran.stdout.split("---"))
    assert re.findall(r'"active": (\w+)', service) == ["true", "false"]
    assert link.startswith(f"{devauth.issuer}/authorize?response_type=code&")
    assert json.loads(userinfo)["name"] == "Alice Example"
    assert json.loads(refreshed)["scope"] == "openid orders:read profile"
    assert re.match(rf"{devauth.issuer}/device\?user_code=[A-Z]{{4}}-[A-Z]{{4}}\n", device)
    assert '"error": "authorization_pending"' in device
    assert json.loads(registered)["redirect_uris"] == ["http://127.0.0.1/callback"]
