"""From a `Credential` to a verified `Token`: the cache, then the issuer, its keys, the signature and the claims.

RFC 7519 §7.2 by way of `oauth.jwt`; what an outage means stands here (an issuer's trouble is 503, never 401).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway import errors
from gateway.access.rules import Permit
from gateway.cache.memory import BoundedCache
from gateway.errors import GatewayError
from gateway.oauth import jwt
from gateway.oauth.jwks import KeySource
from gateway.oauth.keys import KeySet
from gateway.oauth.tokens import Credential, Token
from gateway.record import RequestRecord

_RETRY_AFTER = 5
"""Seconds a client is asked to wait when an issuer can't be reached (RFC 9110 §10.2.3)."""


@dataclass(frozen=True, slots=True, eq=False)
class TrustedIssuer:
    """One authorization server whose tokens count: what its tokens must look like, and its keys."""

    rules: jwt.TokenRules
    keys: KeySource
    where: str = ""


@dataclass(slots=True, eq=False)
class Verified:
    """A token that has been verified, for as long as its issuer's keys stay the ones it was verified with.

    `permits` keeps the permit of each route it was allowed on, by the route's policy.
    """

    token: Token
    issuer: TrustedIssuer
    keys: KeySet
    permits: dict[object, Permit] = field(default_factory=dict)

    def is_current(self, now: float) -> bool:
        """Whether the verification still stands: in time, and no key was withdrawn since."""
        return now < self.token.expires_at and self.issuer.keys.current(now) is self.keys


class Verifier:
    """Verifies access tokens of the trusted issuers and remembers the good ones.

    The cache is keyed by the whole token, so no two tokens can share an entry. It is bounded in entries and bytes.
    """

    def __init__(
        self,
        issuers: Sequence[TrustedIssuer],
        *,
        max_token: int,
        cache: BoundedCache[bytes, Verified],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuers: Mapping[str, TrustedIssuer] = {issuer.rules.issuer: issuer for issuer in issuers}
        self._max_token = max_token
        self._cache = cache
        self._clock = clock
        self.hits = 0
        self.misses = 0

    async def verify(self, credential: Credential, record: RequestRecord) -> Verified:
        """Verify a token, or recall that it was. Raises `GatewayError` for the first check that fails."""
        # A decision that is being explained shows every check, also for a token that is known.
        known = self._cache.get(credential.value) if record.steps is None else None
        if known is not None:
            if known.is_current(self._clock()):
                self.hits += 1
                return known
            self._cache.discard(credential.value)
        self.misses += 1
        verified = await self._verify_jwt(credential.value, record)
        self._cache.put(credential.value, verified, weight=len(credential.value))
        return verified

    async def _verify_jwt(self, value: bytes, record: RequestRecord) -> Verified:
        if len(value) > self._max_token:
            raise GatewayError(errors.TOKEN_TOO_LARGE, f"{len(value)} bytes, at most {self._max_token} allowed")
        unverified = jwt.parse(value)
        issuer = self._issuers.get(unverified.issuer or "")
        if issuer is None:
            raise GatewayError(errors.ISSUER_UNKNOWN, "iss is not among the configured issuers")
        record.issuer = issuer.rules.name
        record.note("issuer", True, f"iss is that of issuer {issuer.rules.name}", issuer.where)
        # Before the keys: no outage makes a token good that no key could save.
        jwt.check_algorithm(unverified, issuer.rules)
        keys = self._keys(issuer)
        try:
            token = jwt.verify(unverified, issuer.rules, keys, self._clock())
        except GatewayError as error:
            if error.reason not in (errors.KEY_UNKNOWN, errors.SIGNATURE_INVALID) or keys.has(unverified.key_id):
                raise
            fresh = await self._fresh_keys(issuer)
            if fresh is keys:
                raise
            keys, token = fresh, jwt.verify(unverified, issuer.rules, fresh, self._clock())
        self._tell(token, unverified, record)
        return Verified(token, issuer, keys)

    def _tell(self, token: Token, unverified: jwt.UnverifiedToken, record: RequestRecord) -> None:
        if record.steps is None:
            return
        record.note("key", True, f"{unverified.header['alg']} signature of key {token.key_id or 'without kid'}")
        seconds = token.expires_at - self._clock()
        record.note("token", True, f"an access token for our audience, good for {seconds:.0f} s")

    async def _fresh_keys(self, issuer: TrustedIssuer) -> KeySet:
        """The issuer may have rotated its keys since the last fetch; its cool-down bounds what a guesser can cause."""
        await issuer.keys.refresh_for_unknown_kid()
        return self._keys(issuer)

    def _keys(self, issuer: TrustedIssuer) -> KeySet:
        keys = issuer.keys.current(self._clock())
        if keys is None:
            name = issuer.rules.name
            raise GatewayError(errors.ISSUER_UNAVAILABLE, f"no keys of issuer {name}", retry_after=_RETRY_AFTER)
        return keys
