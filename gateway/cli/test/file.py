"""A file of policy tests: YAML to test cases, or to every problem at once, each with its line and column."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError

from gateway import errors
from gateway.config import Config, ConfigError, ConfigUnreadable, Location, Problem, environment, validation
from gateway.config.block import Block, as_tuple
from gateway.config.issuers import Issuer
from gateway.config.source import Finding, Source, read, show
from gateway.config.values import HeaderName, HeaderValue, Text, header_value, text
from gateway.config.values import method as http_method

REASONS: Final = frozenset(value.name for value in vars(errors).values() if isinstance(value, errors.Reason))


def _url(value: object) -> str:
    url = text(value)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("must be an address, or a path that begins with /") from None
    is_address = parts.scheme in ("http", "https") and parts.netloc
    if not is_address and (parts.scheme or not url.startswith("/")):
        raise ValueError("must be an address, or a path that begins with /")
    return url


def _peer(value: object) -> str:
    try:
        return str(ipaddress.ip_address(text(value)))
    except ValueError:
        raise ValueError("must be an IP address, without a port") from None


def _values(value: object) -> tuple[str, ...]:
    members = value if isinstance(value, list) and value else [value]
    if not all(ord(letter) < 256 for member in members if isinstance(member, str) for letter in member):
        raise ValueError("must be bytes as ISO 8859-1 has them: a field has no other letters (RFC 9110 §5.5)")
    return tuple(map(header_value, members))


def _token(value: object) -> object:
    if value == "none":
        return None
    if not isinstance(value, dict):
        raise ValueError("must be none, or a block: {issuer: …, claims: {…}}")
    return value


def _header(value: object) -> object:
    if isinstance(value, dict) and "alg" in value:
        raise ValueError("may not hold alg: tokens are signed here, with an algorithm that the issuer allows")
    return value


def _status(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 400 <= value <= 599:
        raise ValueError("must be that of a refusal, 400 to 599; a request that may pass is `allow: true`")
    return value


def _reason(value: object) -> str:
    if text(value) not in REASONS:
        raise ValueError(f"there is no such reason{environment.nearest(text(value), REASONS)}")
    return text(value)


def _allow(value: object) -> object:
    if value is not True:
        raise ValueError("must be true; of a refusal say its status, its reason, or both")
    return value


class RequestBlock(Block):
    """The request. `peer` is the address that it comes from."""

    method: Annotated[str, BeforeValidator(http_method)] = "GET"
    url: Annotated[str, BeforeValidator(_url)]
    headers: dict[HeaderName, Annotated[tuple[str, ...], BeforeValidator(_values)]] = Field(default_factory=dict)
    peer: Annotated[str, BeforeValidator(_peer)] = "127.0.0.1"


class TokenBlock(Block):
    """A token that is good but for what stands here. `format` None: what its issuer issues."""

    issuer: Text
    claims: dict[str, Any] = Field(default_factory=dict)
    header: Annotated[dict[str, Any], BeforeValidator(_header)] = Field(default_factory=dict)
    format: Literal["jwt", "opaque"] | None = None
    active: bool = True


class UpstreamBlock(Block):
    """What the upstream is to receive. A field that is null must not be there."""

    method: Text | None = None
    target: Text | None = None
    headers: dict[HeaderName, HeaderValue | None] = Field(default_factory=dict)


class ExpectBlock(Block):
    """The verdict."""

    allow: Annotated[bool, BeforeValidator(_allow)] | None = None
    status: Annotated[int, BeforeValidator(_status)] | None = None
    reason: Annotated[str, BeforeValidator(_reason)] | None = None
    route: Text | None = None
    upstream: UpstreamBlock | None = None
    would_refuse: Annotated[str, BeforeValidator(_reason)] | None = None


class TestBlock(Block):
    """One test."""

    name: Text
    request: RequestBlock
    token: Annotated[TokenBlock | None, BeforeValidator(_token)] = None
    expect: ExpectBlock


class TestsFile(Block):
    """The whole file."""

    tests: Annotated[tuple[TestBlock, ...], BeforeValidator(as_tuple), Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Case:
    """One test, and the place of its name."""

    block: TestBlock
    where: Location


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one file."""

    file: str
    cases: tuple[Case, ...] = field(repr=False)


def load(path: Path, config: Config) -> Suite:
    """The tests of a file, for this configuration.

    Raises `ConfigUnreadable` when there is nothing to read, `ConfigError` with every problem of what was read.
    """
    if not path.is_file():
        raise ConfigUnreadable([Problem(Location(str(path), 0, 0), "", "there is no such file")])
    source = read(path)
    try:
        file = TestsFile.model_validate(source.data)
    except ValidationError as invalid:
        raise ConfigError(list(validation.problems(invalid, source, TestsFile))) from None
    problems = [Problem(source.where(place), show(place), message) for place, message in _findings(file, config)]
    if problems:
        raise ConfigError(problems)
    return Suite(str(path), tuple(_cases(file, source)))


def _cases(file: TestsFile, source: Source) -> Iterator[Case]:
    for index, block in enumerate(file.tests):
        yield Case(block, source.where(("tests", index, "name")))


def _findings(file: TestsFile, config: Config) -> Iterator[Finding]:
    """What does not go together, or does not go with the configuration."""
    titles = {route.title for route in config.routes}
    seen: set[str] = set()
    for index, test in enumerate(file.tests):
        if test.name in seen:
            yield ("tests", index, "name"), "another test has this name"
        seen.add(test.name)
        for place, message in (*_in_token(test.token, config.issuers), *_in_expect(test.expect, titles)):
            yield ("tests", index, *place), message


def _in_token(token: TokenBlock | None, issuers: Mapping[str, Issuer]) -> Iterator[Finding]:
    if token is None:
        return
    issuer = issuers.get(token.issuer)
    if issuer is None:
        hint = environment.nearest(token.issuer, issuers) or f"; there are: {', '.join(issuers) or 'none'}"
        yield ("token", "issuer"), f"there is no issuer {token.issuer}{hint}"
        return
    is_asked = issuer.introspection is not None and issuer.introspection.mode != "never"
    if token.format == "opaque" and not is_asked:
        yield ("token", "format"), f"issuer {token.issuer} has no introspection, so no opaque token of it can be good"
    if not token.active and not is_asked:
        yield ("token", "active"), f"issuer {token.issuer} has no introspection, so nobody would say that"


def _in_expect(expect: ExpectBlock, titles: set[str]) -> Iterator[Finding]:
    refused = [name for name in ("status", "reason") if getattr(expect, name) is not None]
    if not refused and expect.allow is None:
        yield ("expect",), "says no verdict: `allow: true`, or the status and the reason of a refusal"
    if refused and expect.allow is not None:
        yield ("expect", refused[0]), "belongs to a refusal, and allow says that it is none"
    for name in ("upstream", "would_refuse"):
        if refused and getattr(expect, name) is not None:
            yield ("expect", name), "belongs to `allow: true`: a refused request reaches no upstream"
    if expect.route is not None and expect.route not in titles:
        yield ("expect", "route"), f"there is no route {expect.route}{environment.nearest(expect.route, titles)}"
