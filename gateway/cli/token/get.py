"""`oauth-gateway token get`: prints an access token, and nothing else, on standard output."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.token.exit_status import WrongOption
from gateway.cli.token.options import ClientOptions, Secret, client_options, need_client
from gateway.cli.token.store import Purpose, StoredToken, StoreProblem, TokenStore, default_folder
from gateway.cli.token.terminal import Teller, interruptible

if TYPE_CHECKING:
    from gateway.cli.token.loopback import RedirectAddress
    from gateway.cli.token.obtain import Grant

_GRANTS = ["client_credentials", "authorization_code", "device_code", "refresh_token"]
_OWN = frozenset({"client_id", "client_secret", "grant_type", "scope", "resource", "audience"})


def _resources(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*:[\x21\x24-\x7e]+", value):
            raise click.BadParameter("an absolute URI without fragment is needed (RFC 8707 §2)")
    return values


def _parameters(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_.\-]+", name):
            raise click.BadParameter(f"{value!r} is not of the form NAME=VALUE")
        if name in found or name in _OWN:
            raise click.BadParameter(f"{name} comes twice, or has an option of its own")
        found[name] = text
    return found


@click.command("get")
@click.option(
    "--grant",
    type=click.Choice(_GRANTS),
    help="How to get it; default: client_credentials with a secret or key, else authorization_code.",
)
@client_options
@click.option("--audience", metavar="TEXT", help="What the token is for, at issuers that want it so.")
@click.option(
    "--resource",
    "resources",
    metavar="URI",
    multiple=True,
    callback=_resources,
    help="The same by RFC 8707; repeatable.",
)
@click.option(
    "--param",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_parameters,
    help="A further parameter of the request, such as prompt=consent; repeatable.",
)
@click.option(
    "--refresh-token",
    metavar="TEXT|@FILE|-",
    help="One to start from, for --grant refresh_token; default: the stored one.",
)
@click.option(
    "--redirect-uri",
    metavar="URL",
    default="http://127.0.0.1:0/callback",
    show_default=True,
    help="Where the browser comes back to on this machine, as registered; port 0: any free one.",
)
@click.option("--browser/--no-browser", "opens_browser", default=True, help="Open the link, or only print it.")
@click.option(
    "--wait",
    type=click.FloatRange(1, 3600),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a user has to sign in.",
)
@click.option(
    "--valid-for",
    "margin",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long the token has to last; default: 60, or a quarter of its life where that is less.",
)
@click.option("--new", "is_new", is_flag=True, help="Take no stored token: sign in, or refresh, in any case.")
@click.option("--store/--no-store", "stores", default=True, help="Keep the token for the next call, or keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the token, when it expires, its scope.")
def command(client: ClientOptions, stores: bool, as_json: bool, **options: Any) -> None:
    """Get an access token, and print it alone.

    It is kept in a file that only you can read, and taken from there until it is about to expire; then it is refreshed.
    In a command line: curl -H "Authorization: Bearer $(oauth-gateway token get …)" https://api.example.com/

    Exit status: 0 a token is printed, 1 the issuer refuses, 2 a wrong option, 3 the issuer can't be asked or its
    answer can't be used, 4 the user denied or did not finish in time, 130 interrupted.
    """
    need_client(client)
    teller = Teller(is_verbose=client.is_verbose)
    with interruptible():
        token = _token(client, _store(teller) if stores else None, teller, options)
        click.echo(_document(token, client.issuer) if as_json else token.access_token)


def _store(teller: Teller) -> TokenStore | None:
    try:
        return TokenStore(default_folder(os.environ))
    except StoreProblem as problem:
        teller.say(f"warning: {problem}")
        return None


def _token(client: ClientOptions, store: TokenStore | None, teller: Teller, options: dict[str, Any]) -> StoredToken:
    grant: Grant = options["grant"] or ("client_credentials" if client.is_confidential else "authorization_code")
    audience = {"audience": options["audience"]} if options["audience"] else {}
    parameters = {**options["parameters"], **audience}
    purpose = Purpose(
        client.issuer,
        client.client_id,
        "client" if grant == "client_credentials" else "user",
        client.scopes,
        tuple(options["resources"]),
        tuple(parameters.items()),
    )
    refresh_token = _refresh_token(client, grant, options["refresh_token"])
    if store is not None and not options["is_new"] and refresh_token is None:
        stored = _stored(store, purpose, teller)
        if stored is not None and stored.is_good(time.time(), purpose.holder, options["margin"]):
            teller.detail(f"from {store.path(purpose)}")
            return stored
    # Only now: HTTP, TLS and JOSE take longer to import than all of the above (0.35 s against 0.1 s).
    import asyncio

    from gateway.cli.token.grants import Asked
    from gateway.cli.token.obtain import Obtaining, Wanted

    asked = Asked(
        client.client_id,
        " ".join(sorted(client.scopes)),
        purpose.resources,
        parameters,
        _redirect(options["redirect_uri"]),
        options["opens_browser"],
        options["wait"],
    )
    given = refresh_token.read() if refresh_token is not None else None
    wanted = Wanted(client, purpose, grant, asked, given, options["is_new"], options["margin"])
    return asyncio.run(Obtaining(wanted, store, teller).token())


def _refresh_token(client: ClientOptions, grant: str, text: str | None) -> Secret | None:
    if text is None:
        return None
    if grant != "refresh_token":
        raise WrongOption("--refresh-token is for --grant refresh_token")
    secret = Secret(text, "refresh token")
    if secret.uses_stdin and client.secret is not None and client.secret.uses_stdin:
        raise WrongOption("only one of client secret and refresh token can come from standard input")
    return secret


def _stored(store: TokenStore, purpose: Purpose, teller: Teller) -> StoredToken | None:
    try:
        return store.load(purpose)
    except StoreProblem as problem:
        teller.say(f"warning: {problem}; getting a new token")
        return None


def _redirect(uri: str) -> RedirectAddress:
    from gateway.cli.token.loopback import RedirectAddress

    try:
        return RedirectAddress.parse(uri)
    except ValueError as problem:
        raise WrongOption(f"--redirect-uri: {problem}") from None


def _document(token: StoredToken, issuer: str) -> str:
    document = {
        "access_token": token.access_token,
        "token_type": "Bearer",
        "expires_at": token.expires_at,
        "scope": token.scope,
        "issuer": issuer,
    }
    return json.dumps({name: value for name, value in document.items() if value is not None})
