"""What was to be seen in a step: requests with their answers, links, tokens from inside. Knows not how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.demo.story import Expected, Way
from gateway.demo.wire import Message, Sent
from gateway.explanation import Explanation


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to the client by way of the user's browser: where it was sent; its request, where there was one."""

    address: str = field(repr=False)
    request: Message | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer. `form` are the parameters of the request, `explanation` why the gateway decided so."""

    title: str
    way: Way
    sent: Sent
    expected: Expected | None = None
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    explanation: Explanation | None = None

    @property
    def got(self) -> Expected:
        """What came, in the form of what was expected."""
        members = self.sent.response.members()
        word = members.get("reason") or members.get("error") or ""
        return Expected(self.sent.status, word if isinstance(word, str) else "")

    @property
    def failure(self) -> str:
        """Why it is not as told; empty when it is."""
        if self.expected is None:
            return ""
        is_as_told = self.got.status == self.expected.status and self.expected.word in ("", self.got.word)
        return "" if is_as_told else f"expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class Link:
    """An address for the user's browser with its parameters; `kept` stays with the client."""

    address: str
    parameters: Mapping[str, str] = field(repr=False)
    kept: Mapping[str, str] = field(repr=False)
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Returned:
    """What the user's browser brought back, and what the client checked. `request` is None where no browser came."""

    address: str = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)
    checks: tuple[tuple[str, bool], ...]
    failure: str = ""
    request: Message | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A token from inside; without header and claims it is opaque."""

    title: str
    token: str = field(repr=False)
    header: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    failure: str = ""

    @property
    def is_opaque(self) -> bool:
        """Whether there is nothing to read in it."""
        return not self.header


@dataclass(frozen=True, slots=True)
class Shortened:
    """A copy of a token that ends soon. `ends_at` is in seconds since the epoch."""

    ends_at: float
    seconds: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that got no answer."""

    title: str
    failure: str


Seen = Exchange | Link | Returned | Decoded | Shortened | Unanswered


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step."""

    seen: tuple[Seen, ...]

    @property
    def failure(self) -> str:
        """Why it did not go as told; empty when it did."""
        return next((each.failure for each in self.seen if each.failure), "")
