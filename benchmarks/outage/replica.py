"""One of several gateways that share a Redis: how it is started, and what its admin listener can do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import StartError, ask, free_port, running
from benchmarks.servers.gateway import configuration, write
from benchmarks.servers.peer import Setting

ADMIN_TOKEN = "only-for-a-benchmark"
SEAL = "thirty-two bytes or more that seal what is kept in Redis"


@dataclass(frozen=True)
class Replica:
    """A running gateway."""

    port: int
    admin_port: int

    def redis_state(self) -> str:
        """What it says of Redis at /readyz: `ready` or `unavailable`."""
        body = ask(self.admin_port, "/readyz").body
        return str(json.loads(body)["redis"]["state"]) if body else ""

    def revoke(self, subject: str, value: str) -> None:
        """Revoke what `subject` (`jti`, `client_id`) names. Raises `StartError` when that is refused."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
        body = json.dumps({"issuer": "bench", subject: value}).encode()
        answer = ask(self.admin_port, "/api/revocations", method="POST", headers=headers, body=body)
        if answer.status != 201:
            raise StartError(f"a revocation was answered with {answer.status}: {answer.body!r}")


@contextlib.contextmanager
def replica(command: Path, setting: Setting, trust: Mapping[str, Any], redis_port: int) -> Iterator[Replica]:
    """Run it until the block ends. Raises `StartError` when it, or Redis for it, is not ready within a minute."""
    setting.folder.mkdir()
    running_one = Replica(setting.port, free_port())
    file = write(
        setting.folder,
        configuration(
            setting,
            trust,
            admin={"listen": f"127.0.0.1:{running_one.admin_port}", "token": ADMIN_TOKEN},
            redis={"url": f"redis://127.0.0.1:{redis_port}/0", "secret": SEAL},
        ),
    )
    serve = [str(command), "serve", "-c", str(file)]

    def is_ready() -> bool:
        return ask(running_one.admin_port, "/readyz").status == 200 and running_one.redis_state() == "ready"

    with running("oauth-gateway", serve, setting.cores, setting.port, setting.folder, is_ready):
        yield running_one
