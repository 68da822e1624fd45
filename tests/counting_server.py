"""An upstream as a process of its own that writes down each request before it answers: `METHOD X-Id` a line.

    python -m tests.counting_server PORT FILE

`/healthz` is 503 while the file `FILE.sick` exists, and the answer says which port it comes from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

from tests.services import held_port


class CountingServer:
    """Starts, kills and starts again such a process; what it wrote down outlives it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.file = folder / f"requests-{port}"
        self.sick = folder / f"requests-{port}.sick"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> Counter[str]:
        """How often each request came, `METHOD id`."""
        return Counter(self.file.read_text().splitlines() if self.file.exists() else [])

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen([sys.executable, "-m", "tests.counting_server", str(self.port), self.file])
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/", timeout=5):
                return
            assert time.monotonic() < deadline, "the upstream does not start"
            assert self._process.poll() is None, "the upstream ended"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a crash does: connections are reset, requests under way lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def counting_servers(folder: Path, count: int) -> Iterator[list[CountingServer]]:
    """Servers that run, each at a port that stays its own."""
    with contextlib.ExitStack() as stack:
        servers = [CountingServer(folder, stack.enter_context(held_port())) for _ in range(count)]
        for server in servers:
            stack.callback(server.kill)
            server.start()
        yield servers


async def _serve(port: int, file: Path) -> None:
    written, sick = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT), file.with_name(f"{file.name}.sick")

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/healthz":
            return web.Response(status=503 if sick.exists() else 200)
        if identifier := request.headers.get("X-Id"):
            os.write(written, f"{request.method} {identifier}\n".encode())
        await request.read()
        return web.Response(text=str(port))

    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
