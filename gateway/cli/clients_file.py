"""The clients file of `oauth-gateway devauth`: YAML to clients and users, or to every problem at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError

from gateway.config import ConfigError, ConfigUnreadable, Location, Problem, environment, validation
from gateway.config.block import Block, as_tuple
from gateway.config.source import Finding, read, show
from gateway.config.values import Text, duration, scope, text
from gateway.devauth import defaults, redirects
from gateway.devauth.clients import DEVICE_CODE, GRANT_TYPES, Client, Lifetimes
from gateway.devauth.users import User

_PRINTABLE: Final = re.compile(r"[ -~]+")
_SHORT: Final = {"device_code": DEVICE_CODE}
_USUAL: Final = Lifetimes()
_GONE: Final = frozenset({"implicit", "password"})
# What only the server can say of a token (RFC 9068 §2.2, OpenID Connect Core §2).
_RESERVED: Final = frozenset(
    {"iss", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "auth_time", "nonce", "at_hash", "cnf", "act"}
)


def _seconds(value: object) -> int:
    """Seconds from a plain number, as in `expires_in`, or a duration such as `5m`."""
    seconds = value if isinstance(value, int) and not isinstance(value, bool) else duration(value)
    if seconds != int(seconds) or not 1 <= seconds <= 10 * 365 * 86400:
        raise ValueError("must be whole seconds, one at the least and ten years at the most")
    return int(seconds)


def _client_id(value: object) -> str:
    """RFC 6749 appendix A.1."""
    if not _PRINTABLE.fullmatch(text(value)):
        raise ValueError("must be printable ASCII (RFC 6749 appendix A.1)")
    return text(value)


def _grant_type(value: object) -> str:
    found = _SHORT.get(text(value), text(value))
    if found in _GONE:
        raise ValueError(f"the {found} grant is gone (RFC 9700 §2); use authorization_code, device_code or another one")
    if found not in GRANT_TYPES:
        hint = environment.nearest(found, [*GRANT_TYPES, *_SHORT])
        raise ValueError(f"is no grant: authorization_code, client_credentials, device_code, refresh_token{hint}")
    return found


def _redirect_uri(value: object) -> str:
    mistake = redirects.mistake_in(text(value))
    if mistake is not None:
        raise ValueError(mistake)
    return text(value)


def _claims(value: object) -> object:
    reserved = sorted(_RESERVED & set(value)) if isinstance(value, dict) else []
    if reserved:
        raise ValueError(f"may not hold {', '.join(reserved)}: the server says that itself")
    return value


Secret = Annotated[SecretStr, BeforeValidator(lambda value: SecretStr(text(value)))]
Seconds = Annotated[int, BeforeValidator(_seconds)]
Scope = Annotated[str, BeforeValidator(scope)]
GrantType = Annotated[str, BeforeValidator(_grant_type)]
RedirectUris = Annotated[tuple[Annotated[str, BeforeValidator(_redirect_uri)], ...], BeforeValidator(as_tuple)]
Claims = Annotated[dict[str, Any], BeforeValidator(_claims)]


class LifetimesBlock(Block):
    """How long things last."""

    access: Seconds = _USUAL.access
    refresh: Seconds = _USUAL.refresh
    code: Seconds = _USUAL.code
    device: Seconds = _USUAL.device


class ClientBlock(Block):
    """One client."""

    client_id: Annotated[str, BeforeValidator(_client_id)]
    client_secret: Secret | None = None
    client_name: Text | None = None
    audience: Text | None = None
    redirect_uris: RedirectUris = ()
    post_logout_redirect_uris: RedirectUris = ()
    grant_types: Annotated[tuple[GrantType, ...] | None, BeforeValidator(as_tuple)] = None
    scopes: Annotated[tuple[Scope, ...], BeforeValidator(as_tuple)]
    access_token: Literal["jwt", "opaque"] = "jwt"
    lifetimes: LifetimesBlock = LifetimesBlock()
    claims: Claims = Field(default_factory=dict)

    @property
    def grants(self) -> frozenset[str]:
        """What it says, else what its other keys make possible."""
        if self.grant_types is not None:
            return frozenset(self.grant_types)
        return frozenset({"authorization_code", "refresh_token"} if self.redirect_uris else {"client_credentials"})

    def client(self, audience: str) -> Client:
        """The client that it describes."""
        return Client(
            self.client_id,
            self.client_secret.get_secret_value() if self.client_secret is not None else None,
            frozenset(self.scopes),
            self.audience or audience,
            grant_types=self.grants,
            redirect_uris=self.redirect_uris,
            post_logout_redirect_uris=self.post_logout_redirect_uris,
            claims=self.claims,
            access_token=self.access_token,
            lifetimes=Lifetimes(**self.lifetimes.model_dump()),
            name=self.client_name or "",
        )


class UserBlock(Block):
    """One user."""

    name: Text
    password: Secret
    claims: Claims = Field(default_factory=dict)

    def user(self) -> User:
        """The user that it describes."""
        return User(self.name, self.password.get_secret_value(), self.claims)


class ClientsFile(Block):
    """The whole file. What it does not say of clients or users is as without a file."""

    audience: Text = defaults.AUDIENCE
    scopes: dict[Scope, Text] = Field(default_factory=dict)
    clients: Annotated[tuple[ClientBlock, ...] | None, BeforeValidator(as_tuple)] = None
    users: Annotated[tuple[UserBlock, ...] | None, BeforeValidator(as_tuple)] = None


@dataclass(frozen=True, slots=True)
class Known:
    """Whom the server is to know, and what to tell users of scopes."""

    clients: tuple[Client, ...] = defaults.CLIENTS
    users: tuple[User, ...] = defaults.USERS
    scopes: Mapping[str, str] = field(default_factory=lambda: defaults.SCOPES)
    audience: str = defaults.AUDIENCE


def load(path: Path, environ: Mapping[str, str] | None = None) -> Known:
    """Read the file; `${NAME}` in it is replaced from the environment.

    Raises `ConfigUnreadable` when there is nothing to read, `ConfigError` with every problem of what was read.
    """
    if not path.is_file():
        raise ConfigUnreadable([Problem(Location(str(path), 0, 0), "", "there is no such file")])
    source = read(path)
    problems = environment.substitute(source, os.environ if environ is None else environ)
    if problems:
        raise ConfigError(problems)
    try:
        file = ClientsFile.model_validate(source.data)
    except ValidationError as invalid:
        raise ConfigError(list(validation.problems(invalid, source, ClientsFile))) from None
    problems = [Problem(source.where(place), show(place), message) for place, message in _findings(file)]
    if problems:
        raise ConfigError(problems)
    clients = tuple(replace(client, audience=file.audience) for client in defaults.CLIENTS)
    if file.clients is not None:
        clients = tuple(block.client(file.audience) for block in file.clients)
    users = tuple(block.user() for block in file.users) if file.users is not None else defaults.USERS
    return Known(clients, users, {**defaults.SCOPES, **file.scopes}, file.audience)


def _findings(file: ClientsFile) -> Iterator[Finding]:
    """What does not go together."""
    seen: set[str] = set()
    for index, client in enumerate(file.clients or ()):
        place = ("clients", index)
        if client.client_id in seen:
            yield (*place, "client_id"), "another client has this id"
        seen.add(client.client_id)
        if "authorization_code" in client.grants and not client.redirect_uris:
            yield (*place, "grant_types"), "authorization_code needs redirect_uris"
        if "client_credentials" in client.grants and client.client_secret is None:
            yield (*place, "grant_types"), "client_credentials need a client_secret (RFC 6749 §4.4)"
    names: set[str] = set()
    for index, user in enumerate(file.users or ()):
        if user.name in names:
            yield ("users", index, "name"), "another user has this name"
        names.add(user.name)
