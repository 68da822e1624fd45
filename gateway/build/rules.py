"""From the `require` block of a route to the rules that are checked on each request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gateway.access import claims
from gateway.access.claims import Check, ClaimRule, Parameter
from gateway.access.rules import Rules
from gateway.config.conditions import Condition, PathParameter
from gateway.config.routes import Require


def compiled_rules(require: Require, where: Callable[..., str], meaning: object) -> Rules:
    """The rules of one route. `where` gives the place of a key of the route; `meaning`: see `Rules.meaning`."""
    return Rules(
        issuers=frozenset(require.issuers or ()),
        audience=frozenset(require.audience or ()),
        scopes=require.scopes or (),
        any_scope=require.any_scope or (),
        claims=tuple(
            ClaimRule(claim, tuple(_checks(condition)), where("require", "claims", claim))
            for claim, condition in require.claims.items()
        ),
        uses_parameters=any(condition.parameters for condition in require.claims.values()),
        where=where("require"),
        meaning=meaning,
    )


def _checks(condition: Condition) -> Iterator[Check]:
    for operator, operand in condition.operators:
        yield _check(operator, operand)


def _check(operator: str, operand: Any) -> Check:
    if operator == "not":
        return claims.negation(tuple(_checks(operand)))
    if operator == "matches":
        return claims.matches(operand)
    if operator == "exists":
        return claims.exists(operand)
    wanted = tuple(_wanted(member) for member in (operand if isinstance(operand, tuple) else (operand,)))
    if operator in ("equals", "one_of"):
        return claims.one_of(wanted)
    return claims.contains_any(wanted) if operator == "contains_any" else claims.contains_all(wanted)


def _wanted(value: Any) -> Any:
    return Parameter(value.name) if isinstance(value, PathParameter) else value
