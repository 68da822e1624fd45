"""What a route asks of a verified token, and the only place that makes a `Permit`.

A `Permit` is what `upstream.forward` takes: without one nothing reaches an upstream.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from gateway import errors
from gateway.access.claims import ClaimRule, Parameters
from gateway.errors import GatewayError
from gateway.oauth.tokens import Token
from gateway.record import RequestRecord


@dataclass(slots=True, eq=False)
class Permit:
    """Proof that a request may pass on one route, and who is asking: `token` is None for an anonymous caller.

    `rendered` is a place for whoever forwards to keep what depends on the permit alone, such as the bytes of the
    identity header fields, by what made it: a permit lives as long as its verified token.
    """

    token: Token | None
    rendered: dict[object, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """The `require` block of one route, compiled. Empty collections ask for nothing."""

    issuers: frozenset[str] = frozenset()
    audience: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()
    any_scope: tuple[str, ...] = ()
    claims: tuple[ClaimRule, ...] = ()
    uses_parameters: bool = False
    """Whether the verdict depends on the path besides the token, so that it can't be kept with the token."""
    where: str = ""
    meaning: Hashable = field(default_factory=object, repr=False)
    """The same object for rules of several routes that ask for the same: a permit by one is a permit by all."""

    challenge_scopes: tuple[str, ...] = field(init=False)
    """Every scope the route speaks of, for the challenge (RFC 6750 §3)."""

    def __post_init__(self) -> None:
        others = (scope for scope in self.any_scope if scope not in self.scopes)
        object.__setattr__(self, "challenge_scopes", (*self.scopes, *others))


def permit_anonymous() -> Permit:
    """For a public route, or an optional token that is absent."""
    return Permit(None)


def permit_in_shadow(token: Token | None) -> Permit:
    """For a route with `enforce: false`: the refusal was recorded, the request passes all the same."""
    return Permit(token)


def permit(token: Token, rules: Rules, parameters: Parameters, record: RequestRecord) -> Permit:
    """Check a verified token against a route's rules, in a fixed order. Raises `GatewayError`."""
    _check_issuer(token, rules, record)
    _check_audience(token, rules, record)
    _check_scopes(token, rules, record)
    _check_claims(token, rules, parameters, record)
    return Permit(token)


def _check_issuer(token: Token, rules: Rules, record: RequestRecord) -> None:
    if not rules.issuers:
        return
    if token.issuer not in rules.issuers:
        raise GatewayError(
            errors.ISSUER_REFUSED, f"issuer {token.issuer} is not among require.issuers", where=rules.where
        )
    record.note("issuer", True, f"{token.issuer} may be used here", rules.where)


def _check_audience(token: Token, rules: Rules, record: RequestRecord) -> None:
    if not rules.audience:
        return
    if rules.audience.isdisjoint(token.audience):
        wanted = ", ".join(sorted(rules.audience))
        raise GatewayError(errors.AUDIENCE_MISMATCH, f"the token is for none of {wanted}", where=rules.where)
    record.note("audience", True, "the token is for this route's audience", rules.where)


def _check_scopes(token: Token, rules: Rules, record: RequestRecord) -> None:
    missing = tuple(scope for scope in rules.scopes if scope not in token.scopes)
    if missing:
        raise _scope_error(f"the token lacks {' '.join(missing)}", missing, rules)
    if rules.any_scope and token.scopes.isdisjoint(rules.any_scope):
        raise _scope_error(f"the token has none of {' '.join(rules.any_scope)}", rules.any_scope, rules)
    if rules.scopes or rules.any_scope:
        record.note("scopes", True, f"the token has what is needed: {' '.join(rules.challenge_scopes)}", rules.where)


def _scope_error(evidence: str, missing: tuple[str, ...], rules: Rules) -> GatewayError:
    return GatewayError(errors.SCOPE_INSUFFICIENT, evidence, scopes_missing=missing, where=rules.where)


def _check_claims(token: Token, rules: Rules, parameters: Parameters, record: RequestRecord) -> None:
    for rule in rules.claims:
        if not rule.holds(token.claims, parameters):
            raise GatewayError(
                errors.CLAIM_REFUSED, f"claim {rule.claim} is not what the route asks for", where=rule.where
            )
        record.note("claims", True, f"claim {rule.claim} is as asked", rule.where)
