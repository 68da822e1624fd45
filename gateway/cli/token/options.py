"""The options that all of `token` takes: which authorization server, and as which client.

A secret need not stand on the command line, where the shell's history and everybody's `ps` would have it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from gateway.cli.token.exit_status import WrongOption

F = TypeVar("F", bound=Callable[..., Any])

_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( +[\x21\x23-\x5b\x5d-\x7e]+)*")
_LONGEST = 2**20


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that is read when it is needed: `@FILE`, `-` for a prompt or standard input, or the text itself."""

    text: str = field(repr=False)
    name: str
    is_literal: bool = False

    @property
    def uses_stdin(self) -> bool:
        """Whether reading it takes standard input."""
        return self.text == "-" and not self.is_literal

    def read(self) -> str:
        """The secret. Raises `WrongOption`."""
        if self.is_literal:
            return self.text
        if self.text == "-":
            return self._asked()
        if not self.text.startswith("@"):
            return self.text
        path = self.text.removeprefix("@")
        try:
            with Path(path).open("rb") as file:
                secret = file.read(_LONGEST).decode("utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8"
            raise WrongOption(f"{self.name} can't be read from {path}: {reason}") from None
        return self._not_empty(secret, f"the file {path}")

    def _asked(self) -> str:
        if sys.stdin.isatty():
            secret: str = click.prompt(self.name, hide_input=True, err=True)
            return secret
        try:
            return self._not_empty(sys.stdin.readline(_LONGEST).rstrip("\r\n"), "standard input")
        except UnicodeDecodeError:
            raise WrongOption(f"{self.name} on standard input is not UTF-8") from None

    def _not_empty(self, secret: str, where: str) -> str:
        if not secret:
            raise WrongOption(f"{where} holds no {self.name}")
        return secret


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Which authorization server, and as which client. `timeout` is for each exchange, in seconds."""

    issuer: str
    client_id: str
    scopes: frozenset[str]
    secret: Secret | None
    client_auth: str | None
    client_key: Path | None
    client_key_id: str | None
    metadata: str | None
    ca: str | None
    certificate: str | None
    certificate_key: str | None
    allow_http: bool
    timeout: float
    is_verbose: bool

    @property
    def is_confidential(self) -> bool:
        """Whether the client can prove who it is."""
        return self.secret is not None or self.client_key is not None or self.certificate is not None


def _scopes(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    for value in values:
        if value and not _SCOPES.fullmatch(value):
            raise click.BadParameter("scopes are words of ASCII, separated by blanks (RFC 6749 §3.3)")
    return frozenset(" ".join(values).split(" ")) - {""}


def _issuer(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value and not re.fullmatch(r"https?://[^\s?#]+", value):
        raise click.BadParameter("an https:// address without query and fragment is needed (RFC 8414 §2)")
    return value


def _secret(context: click.Context, parameter: click.Parameter, value: str | None) -> Secret | None:
    if not value:
        return None
    source = context.get_parameter_source(parameter.name or "")
    return Secret(value, "client secret", is_literal=source is ParameterSource.ENVIRONMENT)


_OPTIONS = (
    click.option(
        "--issuer",
        metavar="URL",
        envvar="OAUTH_GATEWAY_ISSUER",
        callback=_issuer,
        help="The authorization server's identifier, as in `iss`.",
    ),
    click.option("--client-id", metavar="ID", envvar="OAUTH_GATEWAY_CLIENT_ID", help="Which client asks."),
    click.option(
        "--client-secret",
        "secret",
        metavar="TEXT|@FILE|-",
        envvar="OAUTH_GATEWAY_CLIENT_SECRET",
        callback=_secret,
        help="Its secret: @FILE reads it from a file, - asks for it. Better not written here: the history keeps it.",
    ),
    click.option(
        "--scope",
        "scopes",
        metavar="WORDS",
        multiple=True,
        envvar="OAUTH_GATEWAY_SCOPE",
        callback=_scopes,
        help="What the token is to allow; blank-separated, or repeated.",
    ),
    click.option(
        "--client-auth",
        type=click.Choice(
            ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "tls_client_auth"]
        ),
        help="How the client proves who it is; default: what the issuer lists and the secret or key fits.",
    ),
    click.option(
        "--client-key",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Its private key, PEM or JWK, for private_key_jwt.",
    ),
    click.option("--client-key-id", metavar="KID", help="The key's `kid` at the issuer."),
    click.option("--metadata", metavar="URL", help="Another address of the issuer's metadata."),
    click.option("--ca", metavar="FILE", help="PEM file with the CAs to trust instead of the system's."),
    click.option("--certificate", metavar="FILE", help="PEM file with the client's certificate, for mutual TLS."),
    click.option("--certificate-key", metavar="FILE", help="PEM file with its private key."),
    click.option("--allow-http", is_flag=True, help="Take http:// addresses beyond this machine."),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1, 600),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="For each exchange with the issuer.",
    ),
    click.option("-v", "--verbose", "is_verbose", is_flag=True, help="Tell each step, on standard error."),
)


def client_options(function: F) -> F:
    """Adds the options; the command gets them as one `ClientOptions`, in which issuer and client id may be empty."""

    @wraps(function)
    def wrapper(**arguments: Any) -> Any:
        taken = {name: arguments.pop(name) for name in ClientOptions.__dataclass_fields__}
        taken["issuer"], taken["client_id"] = taken["issuer"] or "", taken["client_id"] or ""
        return function(client=ClientOptions(**taken), **arguments)

    decorated: Any = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def need_client(client: ClientOptions) -> None:
    """That issuer and client are named. Raises `WrongOption`."""
    for value, option, variable in (
        (client.issuer, "--issuer", "OAUTH_GATEWAY_ISSUER"),
        (client.client_id, "--client-id", "OAUTH_GATEWAY_CLIENT_ID"),
    ):
        if not value:
            raise WrongOption(f"{option} is missing; the environment variable {variable} may hold it, too")


def token_argument(text: str, client: ClientOptions) -> str:
    """The token that an argument names: itself, `@FILE`, or `-` for standard input. Raises `WrongOption`."""
    if text == "-" and client.secret is not None and client.secret.uses_stdin:
        raise WrongOption("only one of client secret and token can come from standard input")
    if text == "-":
        token = _read_all()
    elif text.startswith("@"):
        token = Secret(text, "token").read()
    else:
        token = text
    # What people paste: the whole header field, line breaks, quotes.
    token = re.sub(r"^(authorization:\s*)?(bearer|dpop)\s+", "", token.strip().strip("\"'"), flags=re.IGNORECASE)
    if not token:
        raise WrongOption("there is no token")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise WrongOption("that is no token: it holds blanks, line breaks or characters beyond ASCII")
    return token


def _read_all() -> str:
    if sys.stdin.isatty():
        token: str = click.prompt("token", hide_input=True, err=True)
        return token
    try:
        return sys.stdin.read(_LONGEST)
    except UnicodeDecodeError:
        raise WrongOption("the token on standard input is not UTF-8") from None
