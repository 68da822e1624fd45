"""What operators can have done while the gateway runs: revoke tokens, explain a decision, fetch keys.

`api` asks for it by HTTP. Between the two only names, JSON members and outcomes pass, so that the process that answers
operators need not be the one that holds the gateway. Knows nothing of HTTP but the status codes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.access.revocation import SUBJECTS, Revocation
from gateway.app import Gateway
from gateway.explanation import explain

_REVOCATION = frozenset({"issuer", *SUBJECTS, "issued_before", "expires_at"})
_EXPLAIN = frozenset({"method", "url", "headers", "token"})

Members = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an operation: a status code of HTTP, and the members of the answer."""

    status: int
    members: dict[str, Any] = field(default_factory=dict)


class Operations(Protocol):
    """Whoever carries operations out."""

    async def __call__(self, name: str, members: Members) -> Outcome:
        """Carry one out. `name` is one of `NAMES`; raises ValueError for another."""
        ...


class _Invalid(Exception):
    """What was asked for can't be used, and which member of it."""

    def __init__(self, member: str, detail: str) -> None:
        super().__init__(detail)
        self.member = member


class GatewayOperations:
    """Carries operations out on the gateway of this process."""

    def __init__(self, gateway: Gateway, *, clock: Callable[[], float] = time.time) -> None:
        self.gateway = gateway
        """The one of the moment: a reload puts another in its place."""
        self._clock = clock

    async def __call__(self, name: str, members: Members) -> Outcome:
        """Carry one out; 400 names the member that can't be used. Raises ValueError for an unknown name."""
        operation = _OPERATIONS.get(name)
        if operation is None:
            raise ValueError(f"there is no operation {name}")
        try:
            return await operation(self, members)
        except _Invalid as problem:
            member = {"member": problem.member} if problem.member else {}
            return Outcome(400, {"detail": str(problem), **member})

    async def _revoke(self, members: Members) -> Outcome:
        revoker = self.gateway.revoker
        _check_names(members, _REVOCATION)
        issuer = _text(members, "issuer")
        if issuer not in revoker.issuers:
            raise _Invalid(
                "issuer", f"There is no issuer of that name; there are {', '.join(sorted(revoker.issuers))}."
            )
        named = [subject for subject in SUBJECTS if subject in members]
        if len(named) > 1:
            raise _Invalid(named[1], f"One revocation names one thing, and this one names {named[0]} already.")
        issued_before = _moment(members, "issued_before")
        if not named and issued_before is None:
            raise _Invalid("issued_before", f"Say what to revoke: one of {', '.join(SUBJECTS)}, or issued_before.")
        expires_at = _moment(members, "expires_at")
        if expires_at is not None and expires_at <= self._clock():
            raise _Invalid("expires_at", "It must lie in the future, in seconds since 1970.")
        subject = named[0] if named else ""
        value = _text(members, subject) if subject else ""
        entry = await revoker.revoke(issuer, subject, value, issued_before=issued_before, expires_at=expires_at)
        return Outcome(201, self._shown(entry))

    async def _list(self, _: Members) -> Outcome:
        entries = self.gateway.revoker.deny_list.listing()
        return Outcome(200, {"revocations": [self._shown(entry) for entry in entries]})

    async def _withdraw(self, members: Members) -> Outcome:
        if not await self.gateway.revoker.withdraw(_text(members, "id")):
            return Outcome(404, {"detail": "There is no such revocation, or it has ended."})
        return Outcome(204)

    def _shown(self, entry: Revocation) -> dict[str, Any]:
        return {**entry.as_json(), "delivered": self.gateway.revoker.is_delivered(entry)}

    async def _explain(self, members: Members) -> Outcome:
        _check_names(members, _EXPLAIN)
        headers = members.get("headers", {})
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise _Invalid("headers", "It must be an object of names and texts.")
        token = _text(members, "token") if members.get("token") is not None else None
        try:
            explanation = await explain(
                self.gateway, _text(members, "method"), _text(members, "url"), token, headers.items()
            )
        except ValueError:
            raise _Invalid("url", "It is no address, or a header has characters that no header can have.") from None
        return Outcome(200, explanation.as_json())

    async def _refresh_keys(self, members: Members) -> Outcome:
        _check_names(members, frozenset({"issuer"}))
        issuers = self.gateway.issuers
        if "issuer" in members and members["issuer"] not in issuers:
            raise _Invalid("issuer", f"There is no issuer of that name; there are {', '.join(sorted(issuers))}.")
        names = [members["issuer"]] if "issuer" in members else list(issuers)
        return Outcome(200, {"issuers": {name: await issuers[name].keys.refresh() for name in names}})


_OPERATIONS: Mapping[str, Callable[[GatewayOperations, Members], Awaitable[Outcome]]] = {
    "revoke": GatewayOperations._revoke,
    "revocations": GatewayOperations._list,
    "withdraw": GatewayOperations._withdraw,
    "explain": GatewayOperations._explain,
    "refresh_keys": GatewayOperations._refresh_keys,
}
NAMES = frozenset(_OPERATIONS)
"""What can be asked for."""


def _check_names(members: Members, known: frozenset[str]) -> None:
    for name in members:
        if name not in known:
            # The name itself is the operator's text, and shown to nobody else.
            raise _Invalid(name[:100], f"There is no such member; there are {', '.join(sorted(known))}.")


def _text(members: Members, name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise _Invalid(name, "It must be a text that is not empty.")
    return value


def _moment(members: Members, name: str) -> float | None:
    value = members.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise _Invalid(name, "It must be a number of seconds since 1970.")
    return float(value)
