"""Authorization server metadata: where an issuer's endpoints are (RFC 8414, OpenID Connect Discovery 1.0).

Knows nothing of keys; every address it finds is only as good as the document it stood in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gateway.cache.single_flight import SingleFlight
from gateway.oauth.client import IssuerClient, IssuerFailure

_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the gateway uses of an issuer's metadata. `address` is where it was found, `members` all that it says."""

    address: str
    jwks_uri: str | None = None
    introspection_endpoint: str | None = None
    members: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


class OtherIssuer(IssuerFailure):
    """The metadata is that of another issuer. `found` is the identifier it gives: a stranger's text, or None."""

    def __init__(self, found: object) -> None:
        super().__init__("issuer", "the metadata is that of another issuer")
        self.found = found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of an issuer's endpoints. `named_at` is the address of the metadata that names it."""

    address: str
    named_at: str


class KnownEndpoint:
    """Where an issuer introspects, as its metadata says: fetched when first needed, and again after `refresh` seconds.

    While the metadata can't be had, what it said last goes on, and nobody waits for a newer answer; a failure is
    remembered for `cooldown` seconds.
    """

    def __init__(
        self,
        client: IssuerClient,
        issuer: str,
        address: str | None = None,
        *,
        refresh: float = 600.0,
        cooldown: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._issuer = issuer
        self._address = address
        self._refresh = refresh
        self._cooldown = cooldown
        self._clock = clock
        self._known: Endpoint | None = None
        self._failure: IssuerFailure | None = None
        self._asked_at = float("-inf")
        self._flight = SingleFlight(self._fetch)

    @property
    def is_refreshing(self) -> bool:
        """Whether the metadata is being fetched."""
        return self._flight.is_running

    async def get(self) -> Endpoint:
        """The endpoint. Raises `IssuerFailure` when it was never known and can't be had now."""
        fresh_for = self._cooldown if self._failure is not None else self._refresh
        is_due = self._clock() - self._asked_at >= fresh_for
        if is_due and self._known is None:
            await self._flight.run()
        elif is_due:
            # Beside the request: an issuer whose metadata hangs may well still introspect.
            self._flight.begin()
        if self._known is not None:
            return self._known
        raise self._failure or IssuerFailure("unreachable", "the metadata was never fetched")

    async def close(self) -> None:
        """End a call that runs."""
        await self._flight.cancel()

    async def _fetch(self) -> None:
        try:
            found = await discover(self._client, self._issuer, self._address)
            if found.introspection_endpoint is None:
                raise IssuerFailure("metadata", "the metadata has no introspection_endpoint")
            self._known, self._failure = Endpoint(found.introspection_endpoint, found.address), None
        except IssuerFailure as problem:
            self._failure = problem
        finally:
            self._asked_at = self._clock()


def metadata_addresses(issuer: str) -> list[str]:
    """Where the metadata may be, in the order of asking: RFC 8414 §3.1, then both forms of OpenID's document."""
    parts = urlsplit(issuer)
    origin = f"{parts.scheme}://{parts.netloc}"
    path = parts.path.rstrip("/")
    inserted = [
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
    ]
    appended = f"{origin}{path}/.well-known/openid-configuration"
    return list(dict.fromkeys([*inserted, appended]))


async def discover(client: IssuerClient, issuer: str, address: str | None = None) -> Metadata:
    """Fetch the metadata from `address`, or from where the standards put it.

    Raises `IssuerFailure`: the first that is more than nothing at an address where there need not be any.
    """
    failure = IssuerFailure("address", "no address to ask", status=_NOT_FOUND)
    for candidate in [address] if address is not None else metadata_addresses(issuer):
        try:
            return await _metadata(client, issuer, candidate)
        except IssuerFailure as problem:
            if failure.status == _NOT_FOUND:
                failure = problem
            if problem.kind in ("timeout", "unreachable"):
                raise  # it is the same server at every address
    raise failure


async def _metadata(client: IssuerClient, issuer: str, address: str) -> Metadata:
    members = (await client.fetch(address)).members
    if members.get("issuer") != issuer:
        # RFC 8414 §3.3: else one issuer's metadata could send us to another one's keys.
        raise OtherIssuer(members.get("issuer"))
    return Metadata(address, _endpoint(members, "jwks_uri"), _endpoint(members, "introspection_endpoint"), members)


def _endpoint(members: dict[str, Any], name: str) -> str | None:
    address = members.get(name)
    if address is not None and not isinstance(address, str):
        raise IssuerFailure("metadata", f"{name} of the metadata is no text")
    return address
