"""oauth-gateway itself, with everything that is on by default but the access log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.issuer import AUDIENCE, ISSUER, SCOPE
from benchmarks.processes import free_port
from benchmarks.servers.peer import Peer, Setting, Unsupported
from gateway import __version__

BESIDE = Path(sys.executable).with_name("oauth-gateway")
"""The command of the environment this runs in: it runs the sources of the checkout."""
COMPILED = Path(__file__).resolve().parents[2] / "build" / "compiled" / "oauth-gateway"
"""The same, compiled, where scripts/compile has made it."""


def configuration(
    setting: Setting, issuer: Mapping[str, Any], *, admin_port: int = 0, **blocks: Mapping[str, Any]
) -> dict[str, Any]:
    """One route for each prefix, which asks for a scope; `blocks` are further blocks of the configuration."""
    return {
        "listen": f"127.0.0.1:{setting.port}",
        "admin": {"listen": f"127.0.0.1:{admin_port or free_port()}"},
        "workers": setting.workers,
        "log": {"access": False},
        # As long as the other servers have it: idle connections must outlive a round.
        "timeouts": {"idle": "300s"},
        "issuers": {"bench": issuer},
        "upstreams": {"orders": {"url": f"http://127.0.0.1:{setting.upstream_port}"}},
        "route_defaults": {"upstream": "orders", "require": {"scopes": [SCOPE]}},
        "routes": [
            {"name": f"orders-{number}", "path": f"{prefix}{{id}}", "methods": ["GET", "POST"]}
            for number, prefix in enumerate(setting.prefixes)
        ],
        **blocks,
    }


def write(folder: Path, content: Mapping[str, Any]) -> Path:
    """Into a file that `serve` reads: JSON is YAML."""
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(content, indent=2))
    return file


def best() -> Path:
    """The command that users who care for speed have: the compiled one, where there is one."""
    return COMPILED if COMPILED.exists() else BESIDE


def gateways(command: Path | None = None) -> tuple[Peer, ...]:
    """The gateway by the path of its command, or else compiled, where it is, and as Python."""
    if command is not None or not COMPILED.exists():
        return (gateway(command or BESIDE),)
    return (gateway(COMPILED, "gateway", "oauth-gateway, compiled"), gateway(BESIDE, "gateway-python", "oauth-gateway"))


def gateway(command: Path = BESIDE, key: str = "gateway", name: str = "oauth-gateway") -> Peer:
    """The gateway, by the path of its command."""

    def serve(setting: Setting) -> Sequence[str]:
        issuer = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": str(setting.issuer.jwks_file)}
        file = write(setting.folder, configuration(setting, issuer))
        if setting.workers > 1:
            _check(command, file)
        return [str(command), "serve", "-c", str(file)]

    def version() -> str:
        return f"oauth-gateway {__version__}"

    return Peer(key, name, lambda: command if command.exists() else None, serve, version)


def _check(command: Path, file: Path) -> None:
    """Raise `Unsupported` where this version of the gateway does not support what the configuration asks for."""
    done = subprocess.run([str(command), "check", "-c", str(file)], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if "not supported" in line]
    if lines:
        raise Unsupported(lines[0].split(": ", 1)[1])
