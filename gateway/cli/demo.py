"""`oauth-gateway demo`: authorization server, sample API and the gateway in front, in one process on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shlex
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import click
from aiohttp import web

from gateway.cli.scenarios import CONFIGURATION, SCENARIOS, SERVICE, Scenario, curl_for_a_token, tokens
from gateway.config import load
from gateway.devauth.sample_api import make_sample_api
from gateway.devauth.server import DevelopmentServer
from gateway.explanation import explain
from gateway.process import logs
from gateway.process.single import SingleProcess

_USUAL_PORT = 8080


@click.command("demo")
@click.option("--port", type=click.IntRange(0, 65535), help="The gateway's port; default 8080, or a free one; 0: free.")
@click.option("--once", is_flag=True, help="Make the requests itself, print what came of them, and end.")
def command(port: int | None, once: bool) -> None:
    """Try the gateway on this machine, without network: prints curl lines to paste."""
    logs.configure("warning", "text")
    try:
        sys.exit(asyncio.run(_demo(port, once)))
    except BrokenPipeError:
        raise  # whoever read the output has enough: click ends quietly
    except OSError as problem:
        raise click.ClickException(f"cannot listen: {problem.strerror or problem}. Try --port 0.") from None


@dataclass(frozen=True, slots=True)
class Demo:
    """Everything that runs."""

    issuer: str
    origin: str
    configuration: Path
    worker: SingleProcess
    tokens: dict[str, str]

    def token_of(self, scenario: Scenario) -> str | None:
        """The token a scenario sends."""
        return self.tokens[scenario.variable] if scenario.variable is not None else None


async def _demo(port: int | None, once: bool) -> int:
    """Run until a signal comes; from the first moment on, so that nothing is left behind. Returns the exit status."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        with tempfile.TemporaryDirectory(prefix="oauth-gateway-demo-") as folder:
            async with _running(_usual_or_free_port() if port is None else port, Path(folder)) as demo:
                if once:
                    return await _try_all(demo)
                await _present(demo)
                await asyncio.Event().wait()
    except asyncio.CancelledError:
        click.echo("\nended")
    return 1 if once else 0


@contextlib.asynccontextmanager
async def _running(port: int, folder: Path) -> AsyncIterator[Demo]:
    async with contextlib.AsyncExitStack() as stack:
        server = DevelopmentServer([SERVICE])
        await server.start()
        stack.push_async_callback(server.stop)
        api = web.AppRunner(make_sample_api(), access_log=None)
        await api.setup()
        stack.push_async_callback(api.cleanup)
        await web.TCPSite(api, "127.0.0.1", 0).start()
        path = folder / "gateway.yaml"
        upstream = f"http://127.0.0.1:{api.addresses[0][1]}"
        text = functools.partial(CONFIGURATION.format, path=path, issuer=server.issuer, upstream=upstream)
        admin_port = _free_port()
        path.write_text(text(port=port, admin_port=admin_port))
        worker = SingleProcess(load(path, {}))
        stack.push_async_callback(worker.stop)
        await worker.start()
        # For whoever reads the file: the port that became of 0.
        path.write_text(text(port=worker.addresses[0].rpartition(":")[2], admin_port=admin_port))
        await worker.gateway.wait_for_keys(timeout=10)
        yield Demo(server.issuer, f"http://{worker.addresses[0]}", path, worker, tokens(server))


async def _present(demo: Demo) -> None:
    click.echo(
        f"""\
gateway               {demo.origin}
authorization server  {demo.issuer}
health and metrics    http://{demo.worker.admin_address}/readyz /metrics
configuration         {demo.configuration}

Paste these first, then any of the requests below (in another terminal):
"""
    )
    for name, token in demo.tokens.items():
        click.echo(f"{name}='{token}'")
    click.echo("\nA token of your own, by client credentials:\n")
    click.echo(curl_for_a_token(demo.issuer))
    for scenario in SCENARIOS:
        click.secho(f"\n# {scenario.title}: {scenario.status}", bold=True)
        click.echo(scenario.curl(demo.origin))
        for line in await _explained(demo, scenario):
            click.secho(f"#   {line}", dim=True)
    program, configuration = _program(), shlex.quote(str(demo.configuration))
    click.echo("\nAsk the gateway itself why, or whether its configuration is sound:\n")
    click.echo(f'{program} explain GET /orders/acme -t "$GOOD" -c {configuration}')
    click.echo(f"{program} check -c {configuration}\n")
    click.echo("Ctrl-C ends the demo.")


async def _explained(demo: Demo, scenario: Scenario) -> list[str]:
    url = f"{demo.origin}{scenario.path}"
    explanation = await explain(demo.worker.gateway, scenario.method, url, demo.token_of(scenario))
    return explanation.lines()


async def _try_all(demo: Demo) -> int:
    """Make every request over HTTP. Returns the exit status: 1 when an answer was not the expected one."""
    as_expected = True
    async with aiohttp.ClientSession() as session:
        for scenario in SCENARIOS:
            token = demo.token_of(scenario)
            headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
            async with session.request(
                scenario.method, f"{demo.origin}{scenario.path}", headers=headers, data=scenario.body
            ) as answer:
                as_expected = as_expected and answer.status == scenario.status
                click.echo(f"{scenario.title}: {answer.status}, expected {scenario.status}")
            for line in await _explained(demo, scenario):
                click.echo(f"    {line}")
    click.echo("every answer was as expected" if as_expected else "NOT every answer was as expected")
    return 0 if as_expected else 1


def _program() -> str:
    """How a shell finds this command: an environment that is not activated is not on its path."""
    if shutil.which("oauth-gateway") is not None:
        return "oauth-gateway"
    beside = Path(sys.executable).with_name("oauth-gateway")
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m gateway"


def _usual_or_free_port() -> int:
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", _USUAL_PORT))
        return _USUAL_PORT
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
