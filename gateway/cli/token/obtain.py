"""From what is stored to a token that is good now: taken as it is, refreshed, or asked for anew.

One process does this at a time, and what it got is stored before it is shown.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

from gateway.cli.token.connection import connected
from gateway.cli.token.exit_status import IssuerTrouble, Refused, Unfinished
from gateway.cli.token.failures import told
from gateway.cli.token.grants import Asked, Grants
from gateway.cli.token.lock import Locked, locked
from gateway.cli.token.options import ClientOptions
from gateway.cli.token.store import Purpose, StoredToken, StoreProblem, TokenStore
from gateway.cli.token.terminal import Teller, in_words
from gateway.errors import GatewayError
from gateway.oauth import jwt
from gateway.oauth.error_response import OAuthError
from gateway.oauth.token_endpoint import TokenResponse

Grant = Literal["client_credentials", "authorization_code", "device_code", "refresh_token"]

# Refused like this, a refresh token is of no more use: the user has to sign in again.
_SPENT = frozenset({"invalid_grant", "unauthorized_client", "unsupported_grant_type"})

# They ask for something beside the access token, and need not come back with it (OpenID Connect Core §3.1.2.1, §11).
_NOT_OF_THE_TOKEN = frozenset({"openid", "offline_access"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which token is wanted, and how it may be had.

    `refresh_token` is one that the user gave. `is_new` takes none that is stored. `margin` as in `StoredToken.is_good`.
    """

    client: ClientOptions
    purpose: Purpose
    grant: Grant
    asked: Asked
    refresh_token: str | None = field(default=None, repr=False)
    is_new: bool = False
    margin: float | None = None

    def accepts(self, token: StoredToken | None, now: float) -> bool:
        """Whether a stored token will do."""
        if token is None or self.is_new or self.refresh_token is not None:
            return False
        return token.is_good(now, self.purpose.holder, self.margin)


class Obtaining:
    """Gets one token. Without a `store` nothing is kept."""

    def __init__(
        self, wanted: Wanted, store: TokenStore | None, teller: Teller, clock: Callable[[], float] = time.time
    ) -> None:
        self._wanted = wanted
        self._store = store
        self._teller = teller
        self._clock = clock

    async def token(self) -> StoredToken:
        """A token that is good now. Raises `Failure`."""
        async with self._alone():
            stored = self._stored()
            if stored is not None and self._wanted.accepts(stored, self._clock()):
                self._teller.detail("another process has just stored one that is good")
                return stored
            try:
                return await self._from_issuer(stored)
            except IssuerTrouble as trouble:
                return self._still_good(stored, trouble)

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """While nobody else gets this token. A folder that can't be used is no reason to have none."""
        async with contextlib.AsyncExitStack() as stack:
            if self._store is not None:
                try:
                    file = self._store.lock_file(self._wanted.purpose)
                    lock = locked(file, patience=self._wanted.asked.wait, on_wait=self._tell_wait)
                    await stack.enter_async_context(lock)
                except Locked as problem:
                    raise Unfinished(str(problem), "end that one, or use --no-store.") from None
                except StoreProblem as problem:
                    self._teller.say(f"warning: {problem}")
            yield

    def _tell_wait(self) -> None:
        self._teller.say("another oauth-gateway is getting this token; waiting for it")

    def _stored(self) -> StoredToken | None:
        try:
            return self._store.load(self._wanted.purpose) if self._store is not None else None
        except StoreProblem as problem:
            self._teller.detail(f"{problem}; it is left aside")
            return None

    def _still_good(self, stored: StoredToken | None, trouble: IssuerTrouble) -> StoredToken:
        """An issuer that is down for a moment spoils no token that has not expired."""
        if self._wanted.is_new or stored is None or stored.expires_at is None:
            raise trouble
        left = stored.expires_at - self._clock()
        if left <= 0 or self._wanted.margin is not None:
            raise trouble
        self._teller.say(f"warning: {trouble.message}; the stored token is good for {in_words(left)} more")
        return stored

    def _keep(self, token: StoredToken) -> None:
        """Store it at once, before anything is awaited: Ctrl-C must not come between an answer and its file."""
        if self._store is None:
            return
        try:
            self._store.save(self._wanted.purpose, token)
            self._teller.detail(f"stored in {self._store.path(self._wanted.purpose)}")
        except StoreProblem as problem:
            self._teller.say(f"warning: {problem}")
            if token.refresh_token is not None:
                self._teller.say("its refresh token is lost, and the next call has to sign in again")

    # --- by the issuer -----------------------------------------------------------------------------------------

    async def _from_issuer(self, stored: StoredToken | None) -> StoredToken:
        wanted = self._wanted
        async with connected(wanted.client, self._teller) as connection:
            grants = Grants(connection, wanted.asked, self._teller)
            refresh_token = wanted.refresh_token or (stored.refresh_token if stored is not None else None)
            if refresh_token is not None and (wanted.grant == "refresh_token" or not wanted.is_new):
                token = await self._refreshed(grants, refresh_token)
                if token is not None:
                    return token
            if wanted.grant == "refresh_token":
                raise Refused(
                    "there is no refresh token for this issuer, client and scope",
                    "sign in first, with --grant authorization_code or device_code; many issuers give one only with "
                    "--scope offline_access.",
                )
            return await self._asked_for(grants)

    async def _asked_for(self, grants: Grants) -> StoredToken:
        """By the grant itself."""
        asked_at = self._clock()
        if self._wanted.grant == "client_credentials":
            return self._token(await grants.client_credentials(), asked_at)
        if self._wanted.grant == "device_code":
            return self._token(await grants.device_code(), self._clock())
        return self._token(await grants.authorization_code(), self._clock())

    async def _refreshed(self, grants: Grants, refresh_token: str) -> StoredToken | None:
        """None when the refresh token is spent and the user can sign in again."""
        asked_at = self._clock()
        with told("refresh", self._wanted.client.issuer, grants.server):
            try:
                answer = await grants.refresh(refresh_token)
            except OAuthError as error:
                if error.code not in _SPENT or self._wanted.grant == "refresh_token":
                    raise
                self._teller.detail(f"the refresh token is no longer good ({error.code}); signing in again")
                return None
        self._teller.detail("refreshed")
        return self._token(answer, asked_at, refresh_token)

    def _token(self, answer: TokenResponse, asked_at: float, refresh_token: str | None = None) -> StoredToken:
        """The token of an answer, stored. `refresh_token` goes on when there is no other in it (RFC 6749 §6)."""
        expires_at = asked_at + answer.expires_in if answer.expires_in is not None else _expiry(answer.access_token)
        self._tell_missing(answer.scope)
        # RFC 6749 §4.4.3: a client that can ask again needs none.
        keeps_refresh_token = self._wanted.purpose.holder == "user"
        token = StoredToken(
            answer.access_token,
            asked_at,
            expires_at,
            (answer.refresh_token or refresh_token) if keeps_refresh_token else None,
            answer.scope,
        )
        self._keep(token)
        return token

    def _tell_missing(self, granted: str | None) -> None:
        asked = self._wanted.purpose.scopes - _NOT_OF_THE_TOKEN
        missing = set() if granted is None else asked - set(granted.split(" "))
        if missing:
            self._teller.say(f"warning: the issuer granted a token without {' '.join(sorted(missing))}")


def _expiry(access_token: str) -> float | None:
    """When the token itself says that it ends, where it is a JWT: good enough to know when to ask again."""
    try:
        return jwt.numeric_date(jwt.parse(access_token.encode("ascii")).claims, "exp")
    except GatewayError:
        return None
