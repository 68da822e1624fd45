"""`oauth-gateway devauth`: the development authorization server alone, for the tests of any project."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import get_args

import click

from gateway.cli.clients_file import Known, load
from gateway.cli.configuration import exit_with
from gateway.config import ConfigError
from gateway.devauth.keys import Algorithm
from gateway.devauth.server import DevelopmentServer
from gateway.process import logs

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*):([0-9]{1,5})")


def _address(ctx: click.Context, option: click.Parameter, value: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9400`, `[::1]:9400`, `localhost:9400` or `:9400`."""
    found = _ADDRESS.fullmatch(value)
    if found is None or int(found[2]) > 65535:
        raise click.BadParameter("must be an address such as 127.0.0.1:9400 or [::1]:9400", ctx, option)
    host = {"": "127.0.0.1", "localhost": "127.0.0.1"}.get(found[1], found[1].strip("[]"))
    return host, int(found[2])


@click.command("devauth")
@click.option(
    "--listen", callback=_address, default="127.0.0.1:9400", show_default=True, help="Where; port 0 takes a free one."
)
@click.option(
    "--clients",
    "clients_path",
    type=click.Path(path_type=Path),
    help="YAML file of clients and users; without it: alice, bob, demo-web, demo-service, demo-device, demo-opaque.",
)
@click.option("--issuer", default="", help="The address by which clients know it; default: http:// and --listen.")
@click.option("--algorithm", type=click.Choice(get_args(Algorithm)), default="RS256", show_default=True)
@click.option(
    "--seed", type=int, help="Make the signing keys out of this number: the same in every run, and no secret."
)
@click.option("--i-know", is_flag=True, help="Listen beyond loopback. Whoever reaches it can sign in and get tokens.")
def command(
    listen: tuple[str, int],
    clients_path: Path | None,
    issuer: str,
    algorithm: Algorithm,
    seed: int | None,
    i_know: bool,
) -> None:
    """Run an authorization server for tests: every OAuth 2 flow, nothing kept, nothing secret.

    SIGHUP, or POST /rotate-keys, makes a new signing key; SIGTERM and SIGINT end it. Exit status 2: bad clients file.
    """
    logs.configure("info", "text")
    try:
        known = load(clients_path) if clients_path is not None else Known()
        server = DevelopmentServer(
            known.clients,
            algorithm,
            users=known.users,
            scopes=known.scopes,
            audience=known.audience,
            issuer=issuer.removesuffix("/"),
            seed=seed,
        )
        asyncio.run(_run(server, *listen, beyond_loopback=i_know, is_seeded=seed is not None))
    except ConfigError as error:
        exit_with(error)
    except ValueError as problem:
        raise click.UsageError(f"{problem}{_advice(issuer, i_know)}") from None
    except OSError as problem:
        click.echo(f"cannot listen: {problem.strerror or problem}", err=True)
        sys.exit(1)


def _advice(issuer: str, i_know: bool) -> str:
    if not i_know:
        return ". With --i-know it goes beyond, and then needs --issuer"
    return "" if issuer else ". Say --issuer https://…, or http://127.0.0.1:… where only this machine gets at it"


async def _run(server: DevelopmentServer, host: str, port: int, *, beyond_loopback: bool, is_seeded: bool) -> None:
    """Serve until a signal comes."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: click.echo(f"signs with a new key: {server.rotate_keys()}"))
    await server.start(host, port, beyond_loopback=beyond_loopback)
    try:
        click.echo(_introduction(server.issuer, is_seeded=is_seeded))
        await ended.wait()
    finally:
        await server.stop()


def _introduction(issuer: str, *, is_seeded: bool) -> str:
    known = "\nIts keys come out of the seed: whoever knows that can sign tokens." if is_seeded else ""
    return f"""\
issuer     {issuer}
metadata   {issuer}/.well-known/openid-configuration
devices    {issuer}/device
all there  {issuer}/

For tests alone: secrets and passwords are in plain sight.{known} Ctrl-C ends it."""
