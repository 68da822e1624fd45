"""Conditions on claims: what a route asks of a verified token beyond its scopes.

A condition is a plain predicate over one claim's value. Values compare by JSON type, so that `true` is not `1` and
`"1"` is not `1`; only a path parameter, which is text by nature, also equals a number written that way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.oauth.tokens import find_claim

Parameters = Mapping[str, str]
Check = Callable[[Any, Parameters], bool]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path parameter of the route, standing where a value could: `"{tenant}"`."""

    name: str


@dataclass(frozen=True, slots=True)
class ClaimRule:
    """One claim that must meet all of `checks`. `where` is its line in the configuration."""

    claim: str
    checks: tuple[Check, ...]
    where: str = ""

    def holds(self, claims: Mapping[str, Any], parameters: Parameters) -> bool:
        """Whether the token's claim meets the rule."""
        value = find_claim(claims, self.claim)
        return all(check(value, parameters) for check in self.checks)


def same(claim: Any, wanted: Any, parameters: Parameters) -> bool:
    """Whether two JSON values are the same, type and all (RFC 8259 §3)."""
    if isinstance(wanted, Parameter):
        return _is_written(claim, parameters[wanted.name])
    if isinstance(claim, bool) or isinstance(wanted, bool):
        return claim is wanted
    if isinstance(claim, int | float) and isinstance(wanted, int | float):
        return claim == wanted
    return type(claim) is type(wanted) and bool(claim == wanted)


def _is_written(claim: Any, text: str) -> bool:
    if isinstance(claim, str):
        return claim == text
    return isinstance(claim, int | float) and not isinstance(claim, bool) and json.dumps(claim) == text


def equals(wanted: Any) -> Check:
    """The claim is that value or, being a list, has it as an element."""
    return one_of((wanted,))


def one_of(wanted: Sequence[Any]) -> Check:
    """The claim is one of these values or, being a list, has one of them as an element."""

    def check(claim: Any, parameters: Parameters) -> bool:
        candidates = claim if isinstance(claim, list) else (claim,)
        return any(same(candidate, value, parameters) for candidate in candidates for value in wanted)

    return check


def contains_all(wanted: Sequence[Any]) -> Check:
    """The claim, a list or a text of blank-separated words, has every one of these."""
    return lambda claim, parameters: all(_has(claim, value, parameters) for value in wanted)


def contains_any(wanted: Sequence[Any]) -> Check:
    """The claim, a list or a text of blank-separated words, has at least one of these."""
    return lambda claim, parameters: any(_has(claim, value, parameters) for value in wanted)


def _has(claim: Any, wanted: Any, parameters: Parameters) -> bool:
    # Split at 0x20 alone: str.split() also splits at 28 other code points, which a claim may smuggle in.
    members = claim.split(" ") if isinstance(claim, str) else claim
    return isinstance(members, list) and any(same(member, wanted, parameters) for member in members)


def matches(pattern: str) -> Check:
    """The whole claim, a text, matches the regular expression; of a list, one element does."""
    compiled = re.compile(pattern)

    def check(claim: Any, _: Parameters) -> bool:
        candidates = claim if isinstance(claim, list) else (claim,)
        return any(isinstance(candidate, str) and compiled.fullmatch(candidate) for candidate in candidates)

    return check


def exists(wanted: bool) -> Check:
    """The claim is there and not null (or, with False, is not)."""
    return lambda claim, _: (claim is not None) is wanted


def negation(checks: Sequence[Check]) -> Check:
    """Not all of these hold; a missing claim meets it."""
    return lambda claim, parameters: not all(check(claim, parameters) for check in checks)
