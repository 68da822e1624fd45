"""Token introspection, one call: asks an issuer whether a token is active (RFC 7662 §2, RFC 9701).

Knows nothing of caches and of what the answer has to say; an answer that is not exactly one is the issuer's failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.oauth.client import IssuerClient, IssuerFailure, Reply, read_object
from gateway.oauth.client_authentication import ClientAuthentication
from gateway.oauth.discovery import KnownEndpoint
from gateway.oauth.jwt import TokenRules
from gateway.oauth.key_source import KeySource
from gateway.oauth.keys import KeySet
from gateway.oauth.signed_introspection import introspection_claims

Claims = dict[str, Any]


class RequestRefused(IssuerFailure):
    """The issuer answers, but not to this request: it says nothing about how it would treat another token."""


class AnswerFormat(Protocol):
    """How an issuer's answer is asked for and read."""

    @property
    def media_type(self) -> str:
        """What is asked for, and what has to come."""
        ...

    async def read(self, body: bytes) -> Claims:
        """The members of the answer. Raises `IssuerFailure`."""
        ...


class PlainAnswers:
    """An answer in JSON (RFC 7662 §2.2)."""

    media_type = "application/json"

    async def read(self, body: bytes) -> Claims:
        """The members of the answer. Raises `IssuerFailure`."""
        return read_object(body)


@dataclass(frozen=True, slots=True, eq=False)
class SignedAnswers:
    """An answer as a JWT of the issuer (RFC 9701): it can be proven later who said what."""

    rules: TokenRules
    client_id: str
    keys: KeySource = field(repr=False)
    clock: Callable[[], float] = time.time
    media_type: str = "application/token-introspection+jwt"

    async def read(self, body: bytes) -> Claims:
        """The members of the answer. Raises `IssuerFailure`."""
        keys = self._current_keys()
        try:
            return self._read(body, keys)
        except IssuerFailure as failure:
            if failure.kind not in ("key_unknown", "signature"):
                raise
            # The issuer may have rotated its keys since the last fetch.
            await self.keys.refresh_for_unknown_kid()
            fresh = self._current_keys()
            if fresh is keys:
                raise
            return self._read(body, fresh)

    def _read(self, body: bytes, keys: KeySet) -> Claims:
        return introspection_claims(body, client_id=self.client_id, rules=self.rules, keys=keys, now=self.clock())

    def _current_keys(self) -> KeySet:
        keys = self.keys.current(self.clock())
        if keys is None:
            raise IssuerFailure("keys", "no keys to verify the signed answer with")
        return keys


class IntrospectionClient:
    """Asks one issuer. `endpoint` None: where its metadata says."""

    def __init__(
        self,
        client: IssuerClient,
        authentication: ClientAuthentication,
        *,
        metadata: KnownEndpoint,
        endpoint: str | None = None,
        answers: AnswerFormat | None = None,
    ) -> None:
        self._client = client
        self._authentication = authentication
        self._metadata = metadata
        self._endpoint = endpoint
        self._answers: AnswerFormat = answers or PlainAnswers()

    async def ask(self, token: bytes) -> Claims | None:
        """What the issuer says of the token, None when it is not active. Raises `IssuerFailure`."""
        endpoint, named_at = await self._address()
        form = {"token": token.decode("ascii"), "token_type_hint": "access_token"}
        headers = {"Accept": self._answers.media_type}
        self._authentication.apply(endpoint, form, headers)
        reply = await self._client.post(endpoint, form, headers, named_at=named_at)
        return await self._read(reply)

    async def close(self) -> None:
        """Close the connections."""
        await self._metadata.close()
        await self._client.close()

    async def _address(self) -> tuple[str, str | None]:
        if self._endpoint is not None:
            return self._endpoint, None
        found = await self._metadata.get()
        return found.address, found.named_at

    async def _read(self, reply: Reply) -> Claims | None:
        if reply.status in (401, 403):
            # RFC 7662 §2.3: it does not know us. That is our configuration, not the caller's token.
            raise IssuerFailure("client_refused", f"status {reply.status}: our client credentials are not accepted")
        if 400 <= reply.status < 500 and reply.status != 429:
            raise RequestRefused("status", f"status {reply.status}")
        if reply.status != 200:
            raise IssuerFailure("status", f"status {reply.status}")
        if reply.media_type != self._answers.media_type:
            raise IssuerFailure("malformed", f"the answer is not {self._answers.media_type}")
        members = await self._answers.read(reply.body)
        active = members.pop("active", None)
        # Code that asks whether it is truthy lets "false" pass.
        if not isinstance(active, bool):
            raise IssuerFailure("malformed", "active is neither true nor false")
        return members if active else None
