"""Whether the token that opened a connection still holds, for as long as the connection lasts (a WebSocket).

A request is decided once. What lasts longer is asked about again whenever something has changed that the decision
rested on: the time, the deny list, the issuer's keys, or the age of its answer. One sweep looks after all of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway import errors
from gateway.access import rules
from gateway.access.claims import Parameters
from gateway.access.credentials import find_credential
from gateway.access.policy import Policy
from gateway.access.verification import Verified
from gateway.errors import GatewayError
from gateway.http.message import Request
from gateway.oauth.key_source import cancelled
from gateway.oauth.tokens import Credential
from gateway.record import RequestRecord

logger = logging.getLogger(__name__)

_PERIOD: Final = 0.25
"""Seconds between two sweeps: with the time that a revocation takes to get here it stays below the promised second."""

_PATIENCE: Final = 30.0
"""Seconds that a connection goes on while nobody can tell whether its token holds."""

_PAUSE: Final = 2.0
"""Seconds between two attempts to find out."""

_AT_ONCE: Final = 16
"""How many are asked about at the same time; an issuer has a limit of its own."""

End = Callable[[GatewayError], None]

Place = Callable[[Request], tuple[Policy, Parameters]]
"""Finds what decides about a request now, and what its rules compare with. Raises `GatewayError` where nothing does."""


class Standing:
    """One connection and the request it was opened with. `end` is told once why it may not go on."""

    __slots__ = (
        "_credential",
        "_parameters",
        "_policy",
        "_verified",
        "ask_after",
        "end",
        "is_asked",
        "request",
        "unknown_since",
    )

    _policy: Policy
    _credential: Credential
    _parameters: Parameters

    def __init__(self, request: Request, end: End) -> None:
        self._verified: Verified | None = None
        # Not the request itself: it leads to a server's connection, of which a WebSocket needs nothing any more.
        version = request.version
        self.request = Request(
            request.method, request.target, request.fields, peer=request.peer, scheme=request.scheme, version=version
        )
        self.end = end
        self.is_asked = False
        """Somebody is finding out, or about to."""
        self.unknown_since: float | None = None
        self.ask_after = 0.0

    def judge_by(self, policy: Policy, credential: Credential, parameters: Parameters) -> None:
        """What the connection has to meet from now on."""
        self._policy, self._credential, self._parameters = policy, credential, parameters
        self._verified, self.ask_after = None, 0.0

    def is_current(self, now: float) -> bool:
        """Whether the last answer is still one. Raises `GatewayError` when the token holds no more."""
        verified, deny_list = self._verified, self._policy.deny_list
        if verified is None:
            return False
        if now >= verified.token.expires_at:
            raise GatewayError(errors.TOKEN_EXPIRED, "exp has passed since the connection was opened")
        if not deny_list.passes(verified.cleared):
            verified.cleared = deny_list.check(verified.token, verified.cleared)
        return verified.is_current(now)

    async def ask(self) -> None:
        """Check the token and the route's rules again. Raises `GatewayError`.

        Not the proof of possession: that was given for the connection, and is not repeated on it.
        """
        policy, record = self._policy, RequestRecord("", 0.0)
        try:
            verified = await policy.verifier.verify(
                self._credential, record, introspects=policy.introspects, issuers=policy.rules.issuers
            )
            verified.cleared = policy.deny_list.check(verified.token, verified.cleared)
            rules.permit(verified.token, policy.rules, self._parameters, record)
        except GatewayError:
            if policy is self._policy:
                raise
            return
        # Else another policy counts by now, and it is asked next.
        if policy is self._policy:
            self._verified = verified


class Watch:
    """Looks after all standings of a gateway. Nothing runs while there is none."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience: float = _PATIENCE,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._open: set[Standing] = set()
        self._place: Place | None = None
        self._standings: set[Standing] = set()
        self._due: deque[Standing] = deque()
        self._sweep: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._standings)

    def begin(self, policy: Policy, request: Request, parameters: Parameters, end: End) -> Standing:
        """Watch over a connection that the policy has let in. It is not looked at while nothing could change: without
        a token, or on a route that is not enforced.
        """
        standing = Standing(request, end)
        self._open.add(standing)
        self._judge(standing, policy, parameters)
        if self._place is not None:
            # A reload may have come while its upstream was asked. Later: there is nothing to end yet.
            asyncio.get_running_loop().call_soon(self._judge_again, standing)
        return standing

    def finish(self, standing: Standing) -> None:
        """The connection has ended."""
        self._open.discard(standing)
        self._standings.discard(standing)

    def judge_anew(self, place: Place) -> None:
        """The configuration has changed: whoever may not come in by it any more does not go on either."""
        self._place = place
        for standing in list(self._open):
            self._judge_again(standing)

    def _judge_again(self, standing: Standing) -> None:
        if standing not in self._open or self._place is None:
            return
        try:
            policy, parameters = self._place(standing.request)
            if not self._judge(standing, policy, parameters) and policy.needs_token:
                raise GatewayError(errors.TOKEN_MISSING, "the route needs a token since the reload")
        except GatewayError as error:
            self._doubt(standing, error, self._clock())
        except Exception:
            self._fault(standing)

    def _judge(self, standing: Standing, policy: Policy, parameters: Parameters) -> bool:
        """Look after it from now on if there is something to look at. Whether there is."""
        has_say = not policy.is_public and policy.is_enforced
        credential = find_credential(standing.request.fields) if has_say else None
        if credential is None:
            self._standings.discard(standing)
            return False
        standing.judge_by(policy, credential, parameters)
        self._standings.add(standing)
        if self._sweep is None or self._sweep.done():
            self._sweep = asyncio.get_running_loop().create_task(self._run())
        return True

    async def close(self) -> None:
        """Watch no more: what nobody watches does not go on."""
        for standing in list(self._standings):
            self._doubt(standing, GatewayError(errors.DRAINING), self._clock())
        self._due.clear()
        for task in (self._sweep, *self._asking):
            await cancelled(task)

    async def _run(self) -> None:
        while self._standings:
            await self._sleep(_PERIOD)
            now = self._clock()
            for standing in list(self._standings):
                self._look(standing, now)
            while self._due and len(self._asking) < min(_AT_ONCE, len(self._due)):
                task = asyncio.get_running_loop().create_task(self._ask())
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)

    def _look(self, standing: Standing, now: float) -> None:
        try:
            is_current = standing.is_current(now)
        except GatewayError as error:
            self._doubt(standing, error, now)
            return
        except Exception:
            self._fault(standing)
            return
        if is_current:
            standing.unknown_since = None
        elif not standing.is_asked and now >= standing.ask_after:
            standing.is_asked = True
            self._due.append(standing)

    async def _ask(self) -> None:
        """Find out about whoever is due, one after the other."""
        while self._due:
            standing = self._due.popleft()
            try:
                if standing in self._standings:
                    await standing.ask()
            except GatewayError as error:
                self._doubt(standing, error, self._clock())
            except Exception:
                self._fault(standing)
            finally:
                standing.is_asked = False
            # A signature takes 0.1 ms: others get their turn between two of them.
            await self._sleep(0)

    def _fault(self, standing: Standing) -> None:
        """A defect of ours lets nobody go on unchecked."""
        logger.exception("an open connection can't be checked")
        self._doubt(standing, GatewayError(errors.INTERNAL), self._clock())

    def _doubt(self, standing: Standing, error: GatewayError, now: float) -> None:
        """It does not hold, or nobody can tell: then it may go on for a while."""
        if error.reason is errors.ISSUER_UNAVAILABLE:
            standing.ask_after = now + _PAUSE
            if standing.unknown_since is None:
                standing.unknown_since = now
            if now - standing.unknown_since < self._patience:
                return
        if standing in self._open:
            self.finish(standing)
            standing.end(error)
