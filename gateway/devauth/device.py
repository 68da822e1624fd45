"""Requests of devices, and what becomes of them while the device polls (RFC 8628)."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.cache.memory import BoundedCache
from gateway.devauth.clients import Client
from gateway.devauth.tokens import REMEMBERED, Authorization
from gateway.devauth.users import User

INTERVAL: Final = 5
"""Seconds that a device waits between two polls (RFC 8628 §3.2), and by how much `slow_down` adds to them (§3.5)."""

# Neither vowels, so that no words come out, nor what looks like something else (§6.1).
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"


@dataclass(slots=True, eq=False)
class DeviceRequest:
    """One request; `decision` is the user's, None while there is none."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    authorization: Authorization
    expires_at: float
    clock: Callable[[], float] = field(repr=False)
    interval: float = INTERVAL
    polled_at: float = 0.0
    decision: bool | None = None
    is_used: bool = False

    def get_client_id(self) -> str:
        """As authlib asks for it."""
        return self.authorization.client.client_id

    def get_scope(self) -> str:
        """As authlib asks for it."""
        return self.authorization.scope

    def get_user_code(self) -> str:
        """As authlib asks for it."""
        return self.user_code

    def is_expired(self) -> bool:
        """Whether its time is over."""
        return self.clock() >= self.expires_at

    def decide(self, user: User, auth_time: int, is_approved: bool) -> None:
        """Note what the user says."""
        self.authorization.user = user
        self.authorization.auth_time = auth_time
        self.decision = is_approved

    def polls_too_fast(self) -> bool:
        """Note a poll. One that comes too soon makes the device wait longer from now on (§3.5)."""
        now = self.clock()
        is_too_fast = now - self.polled_at < self.interval
        self.polled_at = now
        if is_too_fast:
            self.interval += INTERVAL
        return is_too_fast


class DeviceRequests:
    """Makes them, and finds them by either code."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._by_device: BoundedCache[str, DeviceRequest] = BoundedCache(entries=REMEMBERED, weight=REMEMBERED)
        self._by_user: BoundedCache[str, DeviceRequest] = BoundedCache(entries=REMEMBERED, weight=REMEMBERED)

    def make(self, client: Client, scope: str) -> DeviceRequest:
        """A new request of a device."""
        letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
        expires_at = self._clock() + client.lifetimes.device
        authorization = Authorization(client, scope)
        user_code = f"{letters[:4]}-{letters[4:]}"
        made = DeviceRequest(secrets.token_urlsafe(32), user_code, authorization, expires_at, self._clock)
        self._by_device.put(made.device_code, made)
        self._by_user.put(letters, made)
        return made

    def of_device(self, device_code: str, client: Client) -> DeviceRequest | None:
        """The request of this client. A code whose token was taken already ends that token: somebody else has it."""
        found = self._by_device.get(device_code)
        if found is None or found.get_client_id() != client.client_id:
            return None
        if found.is_used:
            found.authorization.end()
            return None
        return found

    def of_user(self, user_code: str) -> DeviceRequest | None:
        """The request that waits for a decision, however its code was typed (§6.1)."""
        found = self._by_user.get(re.sub(r"[^A-Z]", "", user_code.upper()))
        return found if found is not None and found.decision is None and not found.is_expired() else None
