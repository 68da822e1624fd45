"""From a `Credential` to a verified `Token`: the cache, then the issuer, and its keys or its answer.

RFC 7519 §7.2 by way of `oauth.jwt`, RFC 7662 by way of `oauth.introspection_answers`; what an outage means stands here
(an issuer's trouble is 503, never 401).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeVar

from gateway import errors
from gateway.access.rules import Permit
from gateway.access.turns import Turns
from gateway.cache.memory import BoundedCache
from gateway.errors import GatewayError, Reason
from gateway.oauth import introspected, jwt
from gateway.oauth.client import IssuerFailure
from gateway.oauth.introspection_answers import Answer, Introspection, IssuerSilent
from gateway.oauth.key_source import KeySource
from gateway.oauth.keys import KeySet
from gateway.oauth.tokens import Credential, Token
from gateway.record import RequestRecord

_RETRY_AFTER = 5
"""Seconds a client is asked to wait when an issuer can't be reached (RFC 9110 §10.2.3)."""

_MAX_PERMITS = 16
_ADOPTED_AT_ONCE = 200
_REFUSED = 1000
_REFUSED_BYTES = 2 * 2**20
# No clock makes an expired token young, and no key of a set that does not verify it will.
_LASTING = frozenset({errors.SIGNATURE_INVALID, errors.TOKEN_EXPIRED})

V = TypeVar("V")
_ANY: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class TrustedIssuer:
    """One authorization server whose tokens count: what its tokens must look like, its keys, and whom to ask.

    `introspects_jwt` asks the issuer about each of its JWTs too, after the local checks.
    """

    rules: jwt.TokenRules
    keys: KeySource
    introspection: Introspection | None = None
    introspects_jwt: bool = False
    where: str = ""

    def judges_as(self, other: TrustedIssuer) -> bool:
        """Whether a token that one of them calls good is good for the other one, by the same keys and answers."""
        return (
            self.rules == other.rules
            and self.keys is other.keys
            and self.introspection is other.introspection
            and self.introspects_jwt == other.introspects_jwt
        )

    async def by_keys(
        self, key_id: str | None, verify: Callable[[KeySet], V], clock: Callable[[], float]
    ) -> tuple[V, KeySet]:
        """Verify with the issuer's keys, and once more when it may have rotated them since. Raises `GatewayError`.

        The cool-down of the key source bounds what somebody who guesses key ids can cause.
        """
        keys = self._current_keys(clock())
        try:
            return verify(keys), keys
        except GatewayError as error:
            if error.reason not in (errors.KEY_UNKNOWN, errors.SIGNATURE_INVALID) or keys.has(key_id):
                raise
            await self.keys.refresh_for_unknown_kid()
            fresh = self._current_keys(clock())
            if fresh is keys:
                raise
            return verify(fresh), fresh

    def _current_keys(self, now: float) -> KeySet:
        keys = self.keys.current(now)
        if keys is None:
            raise GatewayError(
                errors.ISSUER_UNAVAILABLE, f"no keys of issuer {self.rules.name}", retry_after=_RETRY_AFTER
            )
        return keys


@dataclass(slots=True, eq=False)
class Verified:
    """A token that has been verified, for as long as its issuer's keys stay the ones it was verified with.

    `keys` is None where the issuer's answer alone speaks for it. `cleared` is the generation of the deny list at which
    it passed last; `permits` keeps the permits of the last rules it was found to meet.
    """

    token: Token
    issuer: TrustedIssuer
    keys: KeySet | None
    fresh_until: float
    is_introspected: bool = False
    cleared: int = -1
    permits: dict[object, Permit] = field(default_factory=dict)

    def keep(self, rules: object, permit: Permit) -> None:
        """Keep a permit. A token is used on few routes, by far most of them with the same rules."""
        if len(self.permits) >= _MAX_PERMITS:
            self.permits.clear()
        self.permits[rules] = permit

    def is_current(self, now: float) -> bool:
        """Whether the verification still stands: in time, and no key was withdrawn since."""
        return now < self.fresh_until and (self.keys is None or self.issuer.keys.current(now) is self.keys)


@dataclass(frozen=True, slots=True, eq=False)
class _Refused:
    """A token that was refused while its issuer had these keys."""

    reason: Reason
    evidence: str
    issuer: TrustedIssuer
    keys: KeySet


class Verifier:
    """Verifies access tokens of the trusted issuers and remembers the good ones.

    The caches are keyed by the whole token, so no two tokens can share an entry. They are bounded in entries and bytes.
    `introspected` is for JWTs that only some routes want to have introspected.
    """

    def __init__(
        self,
        issuers: Sequence[TrustedIssuer],
        *,
        max_token: int,
        cache: BoundedCache[bytes, Verified],
        introspected: BoundedCache[bytes, Verified],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuers: Mapping[str, TrustedIssuer] = {issuer.rules.issuer: issuer for issuer in issuers}
        self._asked = [(issuer, issuer.introspection) for issuer in issuers if issuer.introspection is not None]
        self._max_token = max_token
        self._cache = cache
        self._introspected = introspected
        self._clock = clock
        self._turns = Turns()
        # A client that has a bad token sends it again and again.
        self._refused: BoundedCache[bytes, _Refused] = BoundedCache(entries=_REFUSED, weight=_REFUSED_BYTES)
        self.hits = 0
        self.misses = 0

    def adopt(self, before: Verifier) -> Iterator[None]:
        """Take over what another one has verified by keys, where nothing has changed that the verification rests on: a
        few tokens at each step, for all of them take 50 ms.

        Only the tokens: whether they may be used somewhere is for the rules of today.
        """
        same = {
            old: new
            for issuer, old in before._issuers.items()
            if (new := self._issuers.get(issuer)) is not None and new.judges_as(old)
        }
        for number, (value, known) in enumerate(list(before._cache.items())):
            if number % _ADOPTED_AT_ONCE == 0:
                yield
            issuer = same.get(known.issuer)
            if issuer is not None and known.keys is not None and not known.is_introspected:
                verified = Verified(known.token, issuer, known.keys, known.fresh_until, cleared=known.cleared)
                if len(value) <= self._max_token:
                    self._cache.put(value, verified, weight=len(value))

    def forget(self) -> None:
        """Remember nothing any more: nobody asks this one again."""
        self._cache.clear()
        self._introspected.clear()
        self._refused.clear()

    def stands(self, verified: Verified) -> bool:
        """Whether a verification may be used once more."""
        if not verified.is_current(self._clock()):
            return False
        self.hits += 1
        return True

    async def verify(
        self,
        credential: Credential,
        record: RequestRecord,
        *,
        introspects: bool = False,
        issuers: AbstractSet[str] = _ANY,
    ) -> Verified:
        """Verify a token, or recall that it was. Raises `GatewayError` for the first check that fails.

        `introspects` asks the issuer even for a JWT; `issuers` are asked first about a token that names none.
        """
        value = credential.value
        # A decision that is being explained shows every check, also for a token that is known.
        if record.steps is None:
            known = self._recall(value, introspects, issuers)
            if known is not None:
                self.hits += 1
                return known
            self._check_refused(value, record)
        self.misses += 1
        if len(value) > self._max_token:
            raise GatewayError(errors.TOKEN_TOO_LARGE, f"{len(value)} bytes, at most {self._max_token} allowed")
        verified = await self._verify(value, introspects, issuers, record)
        is_by_default = verified.keys is None or verified.is_introspected == verified.issuer.introspects_jwt
        (self._cache if is_by_default else self._introspected).put(value, verified, weight=len(value))
        return verified

    def _recall(self, value: bytes, introspects: bool, issuers: AbstractSet[str]) -> Verified | None:
        known = self._cache.get(value)
        if introspects and (known is None or not known.is_introspected):
            known = self._introspected.get(value)
        if known is None:
            return None
        if not known.is_current(self._clock()):
            self._cache.discard(value)
            self._introspected.discard(value)
            return None
        if known.keys is None and issuers and known.issuer.rules.name not in issuers:
            # Another route asked its own issuers first; those of this route may know the token too.
            return None
        return known

    async def _verify(
        self, value: bytes, introspects: bool, issuers: AbstractSet[str], record: RequestRecord
    ) -> Verified:
        try:
            unverified = jwt.parse(value)
        except GatewayError:
            if not self._asked:
                raise
            return await self._verify_opaque(value, issuers, record)
        issuer = self._issuers.get(unverified.issuer or "")
        if issuer is None and self._asked:
            return await self._verify_opaque(value, issuers, record)
        if issuer is None:
            raise GatewayError(errors.ISSUER_UNKNOWN, "iss is not among the configured issuers")
        verified = await self._verify_jwt(value, unverified, issuer, record)
        if issuer.introspection is not None and (introspects or issuer.introspects_jwt):
            return await self._confirm(value, verified, issuer.introspection, record)
        return verified

    # --- JWT: by the issuer's keys -----------------------------------------------------------------------------

    def _check_refused(self, value: bytes, record: RequestRecord) -> None:
        """Refuse a token that was refused before, for a reason that lasts as long as the issuer's keys do."""
        refused = self._refused.get(value)
        if refused is not None and refused.issuer.keys.current(self._clock()) is refused.keys:
            record.issuer = refused.issuer.rules.name
            raise GatewayError(refused.reason, refused.evidence)

    def _remember_refused(
        self, value: bytes, unverified: jwt.UnverifiedToken, issuer: TrustedIssuer, error: GatewayError
    ) -> None:
        keys = issuer.keys.current(self._clock())
        # Where no key bears its name, a newer set may hold the right one: then it is asked for each time.
        if error.reason in _LASTING and keys is not None and keys.has(unverified.key_id):
            self._refused.put(value, _Refused(error.reason, error.evidence, issuer, keys), weight=len(value))

    async def _verify_jwt(
        self, value: bytes, unverified: jwt.UnverifiedToken, issuer: TrustedIssuer, record: RequestRecord
    ) -> Verified:
        record.issuer = issuer.rules.name
        record.note("issuer", True, f"iss is that of issuer {issuer.rules.name}", issuer.where)
        # Before the keys: no outage makes a token good that no key could save.
        jwt.check_algorithm(unverified, issuer.rules)
        await self._turns.take()
        try:
            token, keys = await issuer.by_keys(
                unverified.key_id, lambda keys: jwt.verify(unverified, issuer.rules, keys, self._clock()), self._clock
            )
        except GatewayError as error:
            self._remember_refused(value, unverified, issuer, error)
            raise
        record.note("key", True, f"{unverified.header['alg']} signature of key {token.key_id or 'without kid'}")
        self._tell(token, record)
        return Verified(token, issuer, keys, token.expires_at)

    # --- any token: by the issuer's answer ---------------------------------------------------------------------

    async def _verify_opaque(self, value: bytes, issuers: AbstractSet[str], record: RequestRecord) -> Verified:
        """A token that names no issuer of ours: the first one that calls it active is its issuer."""
        failure: GatewayError | None = None
        for issuer, introspection in sorted(self._asked, key=lambda asked: asked[0].rules.name not in issuers):
            try:
                answer = await self._ask(value, issuer, introspection, record)
            except GatewayError as error:
                # Another issuer may know it; when none does, this one might have.
                failure = failure or error
                continue
            if answer.claims is None:
                continue
            record.issuer = issuer.rules.name
            token = introspected.token(answer.claims, issuer.rules, self._clock())
            self._tell(token, record)
            return Verified(token, issuer, None, min(token.expires_at, answer.fresh_until), is_introspected=True)
        raise failure or GatewayError(errors.TOKEN_INACTIVE, "no issuer that was asked calls it active")

    async def _confirm(
        self, value: bytes, verified: Verified, introspection: Introspection, record: RequestRecord
    ) -> Verified:
        """A JWT that is good by itself, as its issuer sees it now."""
        issuer = verified.issuer
        answer = await self._ask(value, issuer, introspection, record)
        if answer.claims is None:
            raise GatewayError(errors.TOKEN_INACTIVE, f"issuer {issuer.rules.name} does not call it active")
        token = introspected.confirmed(verified.token, answer.claims, issuer.rules, self._clock())
        fresh_until = min(token.expires_at, answer.fresh_until)
        return Verified(token, issuer, verified.keys, fresh_until, is_introspected=True)

    async def _ask(
        self, value: bytes, issuer: TrustedIssuer, introspection: Introspection, record: RequestRecord
    ) -> Answer:
        name = issuer.rules.name
        try:
            answer = await introspection.answer(value)
        except IssuerFailure as failure:
            record.note("introspection", False, f"issuer {name} can't be asked: {failure.kind}", issuer.where)
            pause = math.ceil(failure.retry_after) if isinstance(failure, IssuerSilent) else _RETRY_AFTER
            raise GatewayError(
                errors.ISSUER_UNAVAILABLE, f"introspection at issuer {name}: {failure.kind}", retry_after=pause
            ) from None
        is_active = answer.claims is not None
        record.note(
            "introspection", is_active, f"issuer {name} calls it {'' if is_active else 'in'}active", issuer.where
        )
        return answer

    def _tell(self, token: Token, record: RequestRecord) -> None:
        if record.steps is None:
            return
        seconds = token.expires_at - self._clock()
        lasts = f"good for {seconds:.0f} s" if math.isfinite(seconds) else "without exp"
        record.note("token", True, f"an access token for our audience, {lasts}")
