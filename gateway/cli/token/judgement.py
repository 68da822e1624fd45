"""Whether a gateway would take a token, found out by the code that live traffic goes through.

By a configuration, or by one that is made up for a single issuer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway import build
from gateway.access.policy import Policy
from gateway.access.rules import Rules
from gateway.access.verification import TrustedIssuer
from gateway.app import Gateway
from gateway.cli.token.options import ClientOptions
from gateway.config import Config, parse
from gateway.errors import GatewayError
from gateway.http.message import Fields, Request
from gateway.oauth import jwt
from gateway.oauth.jwt import TokenRules, UnverifiedToken
from gateway.record import Step

_PATIENCE = 10.0
ONE_ISSUER = "given"
"""The name of the issuer in a configuration that is made up."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the steps that led to it; `issuer` and `key_id` are whose it is by the verdict.

    `claims` are what the issuer answered or signed, None where nothing is proven. `further` is what else is known,
    such as problems that would remain when the first is solved.
    """

    accepted: bool
    steps: tuple[Step, ...]
    issuer: str | None
    key_id: str | None = None
    claims: Mapping[str, Any] | None = dataclasses.field(default=None, repr=False)
    error: GatewayError | None = None
    further: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "accepted": self.accepted,
            "status": 200 if self.error is None else self.error.reason.status,
            "reason": None if self.error is None else self.error.reason.name,
            "issuer": self.issuer,
            "key": self.key_id,
            "steps": [dataclasses.asdict(step) for step in self.steps],
            "further": list(self.further),
        }


async def judge(
    config: Config,
    token: str,
    scopes: frozenset[str] = frozenset(),
    *,
    introspects: bool = False,
    clock: Callable[[], float] = time.time,
) -> Judgement:
    """Judge a token as on a route that asks for these scopes. `introspects` asks its issuer in any case."""
    gateway = build.build(config)
    await gateway.start()
    try:
        await gateway.wait_for_keys(timeout=_PATIENCE)
        return await _judged(gateway, token, scopes, introspects, clock)
    finally:
        await gateway.close()


async def _judged(
    gateway: Gateway, token: str, scopes: frozenset[str], introspects: bool, clock: Callable[[], float]
) -> Judgement:
    policy = _policy(gateway, scopes, introspects)
    fields = Fields([(b"Host", b"localhost"), (b"Authorization", f"Bearer {token}".encode())])
    request = Request("GET", "/", fields, peer="127.0.0.1", scheme="https")
    record = gateway.open_record(request)
    record.steps = []
    try:
        permit = await policy.decide(request, {}, record)
    except GatewayError as error:
        further = tuple(_further(gateway, token, error, clock()))
        return Judgement(False, tuple(record.steps), record.issuer, error=error, further=further)
    proven = permit.token
    if proven is None:  # a public route's policy would do this; ours asks for a token
        return Judgement(False, tuple(record.steps), None)
    return Judgement(True, tuple(record.steps), proven.issuer, proven.key_id or None, proven.claims)


def _policy(gateway: Gateway, scopes: frozenset[str], introspects: bool) -> Policy:
    """That of any route, with no rules but the scopes."""
    some = next(iter(gateway.routes.values())).policy
    return dataclasses.replace(
        some,
        rules=Rules(scopes=tuple(sorted(scopes))),
        is_public=False,
        is_token_optional=False,
        is_enforced=True,
        introspects=introspects,
    )


def _further(gateway: Gateway, token: str, first: GatewayError, now: float) -> Iterator[str]:
    """What the checks say of a JWT besides: each on its own, since the first failure hides the others."""
    try:
        unverified = jwt.parse(token.encode("ascii"))
    except (GatewayError, UnicodeEncodeError):
        return
    issuer = next((each for each in gateway.issuers.values() if each.rules.issuer == unverified.issuer), None)
    if issuer is None:
        yield from _near_issuers(gateway.issuers, unverified.issuer)
        return
    yield from _signature(issuer, unverified, now)
    for check in _CHECKS:
        try:
            check(unverified, issuer.rules, now)
        except GatewayError as error:
            if error.reason is not first.reason or error.evidence != first.evidence:
                yield f"{error.reason.name}: {error.evidence}"


def _signature(issuer: TrustedIssuer, token: UnverifiedToken, now: float) -> Iterator[str]:
    """Whose key it is; a signature that no key fits is the first failure already."""
    keys = issuer.keys.current(now)
    with contextlib.suppress(GatewayError):
        if keys is not None:
            key_id = jwt.check_signature(token, issuer.rules, keys) or "without kid"
            yield f"the signature is good: key {key_id} of issuer {issuer.rules.name}"


_CHECKS: tuple[Callable[[UnverifiedToken, TokenRules, float], object], ...] = (
    lambda token, rules, now: jwt.check_algorithm(token, rules),
    lambda token, rules, now: jwt.check_times(token.claims, rules, now),
    lambda token, rules, now: jwt.check_audience(token.claims, rules),
    lambda token, rules, now: jwt.check_required(token.claims, rules.required_claims),
    lambda token, rules, now: jwt.check_type(token, rules),
)


def _near_issuers(issuers: Mapping[str, TrustedIssuer], named: str | None) -> Iterator[str]:
    """Which issuers there are, since one is often meant and written otherwise."""
    for name, issuer in issuers.items():
        is_near = named is not None and _folded(named) == _folded(issuer.rules.issuer)
        hint = ": nearly the same, but every character counts" if is_near else ""
        yield f"issuer {name} is {issuer.rules.issuer}{hint}"


def _folded(address: str) -> str:
    return address.lower().partition("://")[2].rstrip("/")


def one_issuer(client: ClientOptions, audience: str | None, *, introspects: bool) -> Config:
    """A configuration that trusts this issuer alone. Raises `ConfigError`.

    With a client's credentials opaque tokens are introspected, and with `introspects` all.
    """
    issuer: dict[str, Any] = {
        "issuer": client.issuer,
        "audience": audience or "any",
        "allow_http": client.allow_http,
        "keys": {"timeout": f"{int(client.timeout * 1000)}ms"},
    }
    if client.metadata is not None:
        issuer["metadata"] = client.metadata
    tls = {"ca": client.ca, "certificate": client.certificate, "private_key": client.certificate_key}
    if any(tls.values()):
        issuer["tls"] = {name: value for name, value in tls.items() if value is not None}
    if client.client_id and client.is_confidential:
        issuer["introspection"] = _introspection(client, introspects)
    return parse(
        {
            "issuers": {ONE_ISSUER: _literal(issuer)},
            "routes": [{"path": "/**", "respond": {"status": 204}}],
        }
    )


def _introspection(client: ClientOptions, introspects: bool) -> dict[str, Any]:
    methods = [(client.client_key, "private_key_jwt"), (client.secret, "client_secret_basic")]
    found = next((method for credential, method in methods if credential is not None), "tls_client_auth")
    block: dict[str, Any] = {
        "mode": "always" if introspects else "opaque",
        "client_id": client.client_id,
        "client_auth": client.client_auth or found,
        "timeout": f"{int(client.timeout * 1000)}ms",
    }
    if client.secret is not None:
        block["client_secret"] = client.secret.read()
    if client.client_key is not None:
        block["client_key"] = str(client.client_key)
    if client.client_key_id is not None:
        block["client_key_id"] = client.client_key_id
    return block


def _literal(value: Any) -> Any:
    """The same, so that no text of it is taken for a reference to the environment."""
    if isinstance(value, dict):
        return {name: _literal(member) for name, member in value.items()}
    return value.replace("${", "$${") if isinstance(value, str) else value
