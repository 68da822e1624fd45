"""What a story is made of, as data: steps, and in them requests and whatever else happens. Knows no page, no terminal.

Texts may hold `$names`: values of the journey, such as `$issuer`. A text in backticks is something to type or to see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gateway.oauth.client_authentication import ClientSecretBasic


class Role(Enum):
    """Who speaks (RFC 6749 §1.1). The gateway stands for the resource server, which is behind it."""

    USER = "You"
    CLIENT = "Client"
    SERVER = "Authorization server"
    GATEWAY = "Gateway"
    OPERATOR = "Operator"
    THIEF = "Thief"


Way = tuple[Role, Role]
ASKS_SERVER: Final[Way] = (Role.CLIENT, Role.SERVER)
ASKS_API: Final[Way] = (Role.CLIENT, Role.GATEWAY)


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to come: a status, and the `reason` or `error` of the body where it is a refusal."""

    status: int
    word: str = ""

    def __str__(self) -> str:
        return f"{self.status} {self.word}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One request. Values kept are members of the JSON answer, or what a pattern finds in its header fields."""

    title: str
    way: Way
    expects: Expected
    url: str
    method: str = "POST"
    fields: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    document: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    token: str = ""
    """The name of the value that goes into the Authorization field."""
    keeps: Mapping[str, str] = field(default_factory=dict)
    """Name of a value, and the member that it is taken from; of a list the first."""
    finds: Mapping[str, str] = field(default_factory=dict)
    """Name of a value, and the pattern whose first group it is."""
    is_explained: bool = False


@dataclass(frozen=True, slots=True)
class Begin:
    """The client makes the link that leads the user to the authorization server (RFC 6749 §4.1.1, RFC 7636)."""

    scope: str


@dataclass(frozen=True, slots=True)
class TakeAnswer:
    """The client judges the answer that the user brought back, and keeps its `code` (RFC 6749 §4.1.2, RFC 9207)."""


@dataclass(frozen=True, slots=True)
class Decode:
    """A look into a token. `keeps`: name of a value, and the claim that it is taken from."""

    title: str
    token: str
    keeps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shorten:
    """The authorization server issues a token once more, good for `seconds`. Keeps the copy, and when it ends."""

    token: str
    copy: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Later:
    """From now on so many seconds have to pass before a step that waits for this moment."""

    moment: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Forge:
    """Somebody writes another scope into a JWT and leaves its signature. Keeps the copy."""

    title: str
    token: str
    copy: str
    scope: str


Part = Send | Begin | TakeAnswer | Decode | Shorten | Later | Forge


@dataclass(frozen=True, slots=True)
class Visit:
    """The user's browser goes to the authorization server. `brings_answer`: it comes back to the client by itself."""

    url: str
    button: str
    hint: str
    brings_answer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happens at one click. `before` says what will happen, `after` what was to be seen: paragraphs."""

    title: str
    before: str
    after: str
    button: str = ""
    parts: tuple[Part, ...] = ()
    visit: Visit | None = None
    waits_for: str = ""
    """The name of a moment."""
    waiting: str = ""
    """What is waited for, to stand before a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A flow from its first request to its last. `name` is its place in addresses."""

    name: str
    title: str
    subtitle: str
    summary: str
    standards: str
    before: str
    ending: str
    steps: tuple[Step, ...]


def call(
    title: str,
    method: str,
    path: str,
    expects: Expected,
    *,
    token: str = "",
    body: str = "",
    finds: Mapping[str, str] | None = None,
    way: Way = ASKS_API,
) -> Send:
    """A request to the API, through the gateway, explained."""
    return Send(
        title=title,
        way=way,
        expects=expects,
        method=method,
        url=f"$gateway{path}",
        token=token,
        body=body,
        finds=finds or {},
        is_explained=True,
    )


def basic(client_id: str, secret: str) -> Mapping[str, str]:
    """The field by which a client with a secret says who it is (RFC 6749 §2.3.1)."""
    fields: dict[str, str] = {}
    ClientSecretBasic(client_id, secret).apply("", {}, fields)
    return fields
