"""`oauth-gateway explain`: why a request is allowed or refused, decided by the code that live traffic goes through."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from gateway import build
from gateway.cli.configuration import config_option, load_or_exit
from gateway.config import Config
from gateway.explanation import Explanation, explain


@click.command("explain")
@click.argument("method")
@click.argument("url")
@click.option("-t", "--token", help="The access token, @FILE to read it from a file, or - for standard input.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header field; repeatable.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    method: str, url: str, token: str | None, headers: tuple[str, ...], config_path: Path | None, as_json: bool
) -> None:
    """Tell step by step what the gateway decides about METHOD URL. Exit status: 0 allowed, 1 refused."""
    config = load_or_exit(config_path)
    explanation = asyncio.run(_explain(config, method, url, _token(token), [_header(text) for text in headers]))
    click.echo(json.dumps(explanation.as_json(), indent=2) if as_json else "\n".join(explanation.lines()))
    sys.exit(0 if explanation.allowed else 1)


async def _explain(
    config: Config, method: str, url: str, token: str | None, headers: list[tuple[str, str]]
) -> Explanation:
    gateway = build.build(config)
    await gateway.start()
    try:
        await gateway.wait_for_keys(timeout=10)
        return await explain(gateway, method, url, token, headers)
    finally:
        await gateway.close()


def _token(option: str | None) -> str | None:
    if option is None:
        return None
    if option == "-":
        return sys.stdin.read().strip()
    if not option.startswith("@"):
        return option
    try:
        return Path(option[1:]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise click.ClickException(f"the token can't be read from {option[1:]}: {problem}") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is not of the form 'Name: value'", param_hint="-H")
    return name.strip(), value.strip()
