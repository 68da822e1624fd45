"""`oauth-gateway token inspect`: what is in a token, and whether a gateway would take it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gateway.cli.configuration import exit_with, load_or_exit
from gateway.cli.token import content
from gateway.cli.token.connection import check_issuer
from gateway.cli.token.content import Content
from gateway.cli.token.exit_status import WrongOption
from gateway.cli.token.judgement import Judgement, judge, one_issuer
from gateway.cli.token.options import ClientOptions, client_options, token_argument
from gateway.cli.token.store import StoreProblem, TokenStore, default_folder
from gateway.cli.token.terminal import interruptible
from gateway.config import Config, ConfigError
from gateway.errors import ISSUER_UNAVAILABLE

_ISSUER_DOWN = 3


@click.command("inspect")
@click.argument("token", required=False)
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Judge the token by this configuration of the gateway.",
)
@client_options
@click.option("--audience", metavar="TEXT", help="With --issuer: the audience it has to be for; default: any.")
@click.option("--introspect", "introspects", is_flag=True, help="Ask the issuer about it, also when it is a JWT.")
@click.option("--offline", is_flag=True, help="Only read it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    token: str | None,
    config_path: Path | None,
    client: ClientOptions,
    audience: str | None,
    introspects: bool,
    offline: bool,
    as_json: bool,
) -> None:
    """Show what is in TOKEN: the token itself, @FILE, or - for standard input.

    A token that begins with a dash goes behind --. Without TOKEN: the newest that is stored for --issuer and
    --client-id.

    By itself the command asks nobody and proves
    nothing. With -c the token goes through every check of the gateway, as on a route that asks for --scope. With
    --issuer it is checked by that issuer's keys, and an opaque one by asking the issuer (RFC 7662) as --client-id.

    Exit status: 0 it was read, and would be accepted if it was judged; 1 it would be refused; 2 a wrong option or a bad
    configuration; 3 the issuer can't be asked.
    """
    with interruptible():
        value = token_argument(token, client) if token is not None else _stored(client)
        config = None if offline else _config(config_path, client, audience, introspects)
        judgement = None
        if config is not None:
            # A scope that stands in the environment is for `get`.
            scopes = frozenset() if _is_from_environment("scopes") else client.scopes
            judgement = asyncio.run(judge(config, value, scopes, introspects=introspects))
        found, now = content.read(value), time.time()
        if as_json:
            click.echo(json.dumps(_document(found, judgement), indent=2))
        else:
            click.echo("\n".join(_lines(found, judgement, now)))
        if judgement is not None and not judgement.accepted:
            is_down = judgement.error is not None and judgement.error.reason is ISSUER_UNAVAILABLE
            raise SystemExit(_ISSUER_DOWN if is_down else 1)


def _stored(client: ClientOptions) -> str:
    if not client.issuer or not client.client_id:
        raise WrongOption("TOKEN is missing: the token, @FILE or -; or --issuer and --client-id for a stored one")
    try:
        found = TokenStore(default_folder(os.environ)).find(client.issuer, client.client_id, client.scopes or None)
    except StoreProblem as problem:
        raise WrongOption(str(problem)) from None
    if not found:
        raise WrongOption("no token is stored for this issuer, client and scope", "name the token: TOKEN, @FILE or -.")
    return found[0][1].access_token


def _config(path: Path | None, client: ClientOptions, audience: str | None, introspects: bool) -> Config | None:
    """By what the token is judged, None for nothing: an issuer that stands in the environment asks for no call."""
    if path is not None:
        return load_or_exit(path)
    if not client.issuer or (_is_from_environment("issuer") and not introspects):
        return None
    check_issuer(client)
    try:
        return one_issuer(client, audience, introspects=introspects)
    except ConfigError as error:
        exit_with(error)


def _is_from_environment(option: str) -> bool:
    return click.get_current_context().get_parameter_source(option) is ParameterSource.ENVIRONMENT


def _lines(found: Content, judgement: Judgement | None, now: float) -> Iterator[str]:
    yield from content.lines(found, now)
    odd = list(content.oddities(found, now))
    if odd:
        yield ""
        yield "worth knowing"
        yield from (f"  {line}" for line in odd)
    yield ""
    if judgement is not None:
        yield from _verdict(found, judgement, now)
    elif found.kind == "opaque":
        yield "its issuer can be asked what it is (introspection): -c FILE with an issuer that has `introspection`,"
        yield "or --issuer URL --client-id ID --client-secret @FILE of a client that may ask"
    else:
        yield "nothing of this is proven: -c FILE judges it by a configuration, --issuer URL by that issuer's keys"


def _verdict(found: Content, judgement: Judgement, now: float) -> Iterator[str]:
    if judgement.claims is not None and dict(judgement.claims) != dict(found.claims):
        yield from content.members("what the issuer says of it", judgement.claims, now)
        yield ""
    yield "judged"
    for step in judgement.steps:
        # A configuration that was made up for one issuer has no lines.
        where = f"  ({step.where})" if step.where and ":" in step.where else ""
        yield f"  {'ok ' if step.ok else 'NO '} {step.step:<13}  {step.detail}{where}"
    error = judgement.error
    if error is not None:
        yield f"  NO  {error.reason.name}: {error.evidence}"
    yield from (f"  besides  {line}" for line in judgement.further)
    if judgement.accepted:
        key = f", by its key {judgement.key_id}" if judgement.key_id else ""
        yield f"=> accepted as a token of issuer {judgement.issuer}{key}"
    elif error is not None:
        yield f"=> refused: {error.reason.status} {error.reason.name}. {error.reason.detail}"


def _document(found: Content, judgement: Judgement | None) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "header": dict(found.header),
        "claims": dict(found.claims),
        "problem": found.problem or None,
        "judgement": judgement.as_json() if judgement is not None else None,
    }
