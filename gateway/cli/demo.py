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
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import click

from gateway.demo import site
from gateway.demo.guide import guided
from gateway.demo.scenarios import SCENARIOS, Scenario, curl_for_a_token
from gateway.demo.stories import STORIES
from gateway.demo.terminal import TerminalTour
from gateway.demo.world import World, running
from gateway.process import logs

_USUAL_PORT = 8080
# Nobody listens there, and nobody has to: the played user reads where the browser would go.
_NOWHERE = "http://127.0.0.1:8000/callback"


@click.command("demo")
@click.option("--port", type=click.IntRange(0, 65535), help="The gateway's port; default 8080, or a free one; 0: free.")
@click.option("--once", is_flag=True, help="Make the requests itself, print what came of them, and end.")
@click.option("--tour", is_flag=True, help="Play the guided tour on the terminal, and end.")
def command(port: int | None, once: bool, tour: bool) -> None:
    """Try the gateway on this machine, without network: a guided tour in the browser, and curl lines to paste.

    Exit status with --once and --tour: 0 if every answer was as expected, else 1.
    """
    if once and tour:
        raise click.UsageError("--once and --tour can't both be: each plays something and ends.")
    logs.configure("warning", "text")
    show = functools.partial(_present, tour_port=0 if port == 0 else None)
    play = _try_all if once else _play_tour if tour else show
    try:
        sys.exit(asyncio.run(_demo(port, play, unfinished=1 if once or tour else 0)))
    except BrokenPipeError:
        raise  # whoever read the output has enough: click ends quietly
    except OSError as problem:
        raise click.ClickException(f"cannot listen: {problem.strerror or problem}. Try --port 0.") from None


async def _demo(port: int | None, play: Callable[[World], Awaitable[int]], unfinished: int) -> int:
    """Run until it has ended or a signal comes; from the first moment on, so that nothing is left behind.

    Returns the exit status, `unfinished` after a signal.
    """
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        with tempfile.TemporaryDirectory(prefix="oauth-gateway-demo-") as folder:
            async with running(_usual_or_free_port() if port is None else port, Path(folder)) as world:
                return await play(world)
    except asyncio.CancelledError:
        click.echo("\nended")
    return unfinished


async def _present(world: World, tour_port: int | None) -> int:
    """Show the tour's address and the lines to paste, and go on until somebody ends it."""
    async with site.running(world, tour_port) as address:
        click.secho(f"guided tour           {address}", bold=True)
        click.echo(
            f"""\
gateway               {world.origin}
authorization server  {world.issuer}
health and metrics    {world.admin_origin}/readyz /metrics
configuration         {world.configuration}

Open the guided tour in a browser, or paste these first, then any of the requests below (in another terminal):
"""
        )
        await _print_requests(world)
        click.echo("Ctrl-C ends the demo.")
        await asyncio.Event().wait()
    return 0


async def _print_requests(world: World) -> None:
    for name, token in world.tokens.items():
        click.echo(f"{name}='{token}'")
    click.echo("\nA token of your own, by client credentials:\n")
    click.echo(curl_for_a_token(world.issuer))
    for scenario in SCENARIOS:
        click.secho(f"\n# {scenario.title}: {scenario.status}", bold=True)
        click.echo(scenario.curl(world.origin))
        for line in await _explained(world, scenario):
            click.secho(f"#   {line}", dim=True)
    program, configuration = _program(), shlex.quote(str(world.configuration))
    click.echo("\nAsk the gateway itself why, or whether its configuration is sound:\n")
    click.echo(f'{program} explain GET /orders/acme -t "$GOOD" -c {configuration}')
    click.echo(f"{program} check -c {configuration}\n")


async def _explained(world: World, scenario: Scenario) -> list[str]:
    url = f"{world.origin}{scenario.path}"
    explanation = await world.explain(scenario.method, url, world.token_of(scenario))
    return explanation.lines()


async def _try_all(world: World) -> int:
    """Make every request over HTTP. Returns the exit status: 1 when an answer was not the expected one."""
    as_expected = True
    async with aiohttp.ClientSession() as session:
        for scenario in SCENARIOS:
            token = world.token_of(scenario)
            headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
            async with session.request(
                scenario.method, f"{world.origin}{scenario.path}", headers=headers, data=scenario.body
            ) as answer:
                as_expected = as_expected and answer.status == scenario.status
                click.echo(f"{scenario.title}: {answer.status}, expected {scenario.status}")
            for line in await _explained(world, scenario):
                click.echo(f"    {line}")
    click.echo("every answer was as expected" if as_expected else "NOT every answer was as expected")
    return 0 if as_expected else 1


async def _play_tour(world: World) -> int:
    """Play every story on the terminal. Returns the exit status: 1 when a step did not go as told."""
    keyboard = sys.stdin.fileno() if sys.stdin.isatty() else None
    async with guided(world, _NOWHERE) as (guide, wire):
        return 0 if await TerminalTour(guide, wire, keyboard).play(STORIES) else 1


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
