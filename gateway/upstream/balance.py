"""Which endpoint a request goes to: in turn by weight, the least busy, the better of two, or always the same for a key.

A `Balance` chooses among endpoints that may be chosen, of which there is at least one. It knows nothing of health.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from gateway.access.rules import Permit
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.identity import claim_value
from gateway.upstream.inbound import Inbound

Balance = Callable[[Sequence[Endpoint], bytes | None], Endpoint]
"""Chooses one of the endpoints, by the request's key where there is one."""

CLIENT_ADDRESS = "$client_ip"
"""In the place of a header or claim: the client's address."""

_MASK = 2**64 - 1


class RoundRobin:
    """Each in its turn, those with more weight more often, and evenly spread: a, a, b, a for weights 3 and 1."""

    def __init__(self, randomness: Callable[[], float] = random.random) -> None:
        self._randomness = randomness

    def joins(self, endpoint: Endpoint) -> None:
        """An endpoint begins anywhere in its round: many gateways must not all begin with the first one."""
        endpoint.turn = self._randomness() * endpoint.weight

    def __call__(self, endpoints: Sequence[Endpoint], key: bytes | None) -> Endpoint:
        """The one that has waited longest, measured by its weight."""
        chosen, total = endpoints[0], 0
        for endpoint in endpoints:
            endpoint.turn += endpoint.weight
            total += endpoint.weight
            if endpoint.turn > chosen.turn:
                chosen = endpoint
        chosen.turn -= total
        return chosen


class LeastRequests:
    """The endpoint with the fewest requests under way for its weight; among equals in turn."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, endpoints: Sequence[Endpoint], key: bytes | None) -> Endpoint:
        """The least busy one."""
        count = len(endpoints)
        self._last += 1
        turned = (endpoints[(self._last + offset) % count] for offset in range(count))
        return min(turned, key=_busyness)


class RandomOfTwo:
    """The less busy of two random ones: nearly as good as the least busy, and many gateways do not all run to it."""

    def __init__(self, randomness: Callable[[], float] = random.random) -> None:
        self._randomness = randomness

    def __call__(self, endpoints: Sequence[Endpoint], key: bytes | None) -> Endpoint:
        """The better of the two."""
        first = self._drawn(endpoints)
        others = [endpoint for endpoint in endpoints if endpoint is not first]
        return min(first, self._drawn(others), key=_busyness) if others else first

    def _drawn(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        point = self._randomness() * sum(endpoint.weight for endpoint in endpoints)
        for endpoint in endpoints:
            point -= endpoint.weight
            if point < 0:
                return endpoint
        return endpoints[-1]


class Consistent:
    """The same endpoint for the same key, as long as it is there; a request without a key goes in turn.

    Weighted rendezvous hashing: each endpoint draws a lot for the key, the best lot wins. When an endpoint goes, its
    keys alone move, and evenly to all others; there is no ring to build or to tune.
    """

    def __init__(self, otherwise: Balance) -> None:
        self._otherwise = otherwise

    def __call__(self, endpoints: Sequence[Endpoint], key: bytes | None) -> Endpoint:
        """Where this key belongs."""
        if key is None:
            return self._otherwise(endpoints, None)
        number = int.from_bytes(blake2b(key, digest_size=8).digest())
        return max(endpoints, key=lambda endpoint: _lot(endpoint, number))


@dataclass(frozen=True, slots=True)
class Key:
    """What of a request decides where it goes: a claim of the verified token, or else a header field."""

    name: str

    def __call__(self, inbound: Inbound, permit: Permit) -> bytes | None:
        """The value as bytes, None where the request has none."""
        if self.name == CLIENT_ADDRESS:
            return inbound.client.ip.encode()
        if permit.token is not None:
            value = claim_value(permit.token, self.name)
            if isinstance(value, str | int | float):
                return str(value).encode("utf-8", "surrogatepass")
        values = inbound.request.fields.values(self.name.lower().encode("latin-1", "replace"))
        return b",".join(values) if values else None


def _busyness(endpoint: Endpoint) -> float:
    # The request at hand counts too: of two idle ones the heavier comes first.
    return (endpoint.pool.load + 1) / endpoint.weight


def _lot(endpoint: Endpoint, number: int) -> float:
    # The finalizer of splitmix64: each bit of key and seed moves each bit of the lot.
    mixed = number ^ endpoint.seed
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _MASK
    mixed ^= mixed >> 31
    # An exponential lot: so the chance to win is the share of the weight. 52 bits and a half are never 0 or 1.
    return endpoint.weight / -math.log(((mixed >> 12) + 0.5) / 2**52)
