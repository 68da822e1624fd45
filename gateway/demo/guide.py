"""Plays the steps of a story: makes the requests, judges the answers, and tells what was to be seen.

The same for the page and for the terminal. The client's part of the code grant is that of `gateway.oauth`.
"""

from __future__ import annotations

import contextlib
import json
import re
import string
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from gateway.demo.journey import Journey
from gateway.demo.seen import Answer, Decoded, Exchange, Link, Outcome, Returned, Seen, Shortened, Unanswered
from gateway.demo.story import Begin, Decode, Forge, Later, Part, Send, Shorten, Story, TakeAnswer
from gateway.demo.wire import NoAnswer, Sent, Wire
from gateway.demo.world import ADMIN_TOKEN, World
from gateway.errors import GatewayError
from gateway.oauth import authorization_code, jwt
from gateway.oauth.authorization_code import ForeignAnswer, MixUp
from gateway.oauth.authorization_server import AuthorizationServer, find_server
from gateway.oauth.client import IssuerClient
from gateway.oauth.error_response import OAuthError
from gateway.oauth.jose import b64url_decode, b64url_encode, strict_json

CLIENT_ID: Final = "demo-web"
NO_ANSWER: Final = Answer("")

STATE: Final = "`state` is the one that the client has sent: the answer belongs to its question"
ISSUER: Final = "`iss` is the authorization server that was asked, and no other"
NO_ERROR: Final = "there is a `code`, and no `error`"

DENIED: Final = "access_denied: you have said no, and more than that the client does not get"

_SECONDS: Final = 10.0
_ENDPOINTS: Final = (
    "token_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "device_authorization_endpoint",
    "jwks_uri",
)


class Guide:
    """Leads through stories. `redirect_uri` is where the authorization server sends the browser back to."""

    def __init__(
        self,
        world: World,
        wire: Wire,
        server: AuthorizationServer,
        redirect_uri: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._world = world
        self._wire = wire
        self._server = server
        self._redirect_uri = redirect_uri
        self.clock = clock

    def begin(self, story: Story) -> Journey:
        """A new way through a story."""
        world = self._world
        values = {
            "issuer": world.issuer,
            "gateway": world.origin,
            "admin": world.admin_origin,
            "admin_token": ADMIN_TOKEN,
            "redirect_uri": self._redirect_uri,
            **{name: self._server.endpoint(name) for name in _ENDPOINTS},
        }
        return Journey(story, values)

    async def play(self, journey: Journey, number: int, answer: Answer = NO_ANSWER) -> Outcome:
        """Take a step, with what the browser brought back. Later steps are as if they had not been taken."""
        seen: list[Seen] = []
        for part in journey.step(number).parts:
            seen += await self._play(part, journey, answer)
            if seen and seen[-1].failure:
                break
        journey.outcomes = {taken: known for taken, known in journey.outcomes.items() if taken < number}
        journey.outcomes[number] = outcome = Outcome(tuple(seen))
        return outcome

    async def _play(self, part: Part, journey: Journey, answer: Answer) -> list[Seen]:
        match part:
            case Send():
                return [await self._send(part, journey)]
            case Begin():
                return [self._begin(part, journey)]
            case TakeAnswer():
                return [_take_answer(journey, answer)]
            case Decode():
                return [_decode(part, journey)]
            case Shorten():
                return [self._shorten(part, journey)]
            case Forge():
                return [_forge(part, journey)]
            case Later():
                journey.moments[part.moment] = self.clock() + part.seconds
                return []

    async def _send(self, part: Send, journey: Journey) -> Seen:
        values = journey.values
        url, token = filled(part.url, values), values[part.token] if part.token else None
        form = _all_filled(part.form, values)
        content_type, body = _content(part, form, values)
        fields = {
            **_all_filled(part.fields, values),
            **({"Authorization": f"Bearer {token}"} if token is not None else {}),
            **({"Content-Type": content_type} if body else {}),
        }
        try:
            sent = await self._wire.send(part.method, url, fields, body)
        except NoAnswer as problem:
            return Unanswered(part.title, f"no answer: {problem}")
        explanation = await self._world.explain(part.method, url, token) if part.is_explained else None
        journey.note_tokens(sent.response.members())
        exchange = Exchange(part.title, part.way, sent, part.expects, form, explanation)
        if not exchange.failure:
            journey.keep(_kept(part, sent))
        return exchange

    def _begin(self, part: Begin, journey: Journey) -> Link:
        request = authorization_code.begin(self._server, CLIENT_ID, self._redirect_uri, part.scope)
        journey.request = request
        journey.keep({"authorization_url": request.address, "code_verifier": request.verifier})
        kept = {"state": request.state, "code_verifier": request.verifier}
        return Link(request.address, dict(request.parameters), kept)

    def _shorten(self, part: Shorten, journey: Journey) -> Shortened:
        ends_at = int(self.clock()) + part.seconds
        journey.keep({part.copy: self._world.shortened(journey.values[part.token], ends_at)})
        journey.moments[part.copy] = ends_at
        return Shortened(ends_at, part.seconds)


@contextlib.asynccontextmanager
async def guided(world: World, redirect_uri: str) -> AsyncIterator[tuple[Guide, Wire]]:
    """A guide, and the connections it uses. Raises `IssuerFailure` when the authorization server can't be asked."""
    async with Wire() as wire, IssuerClient(timeout=_SECONDS) as client:
        server = await find_server(client, world.issuer)
        yield Guide(world, wire, server, redirect_uri), wire


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text of a story with the values of a journey. Raises KeyError for one that no step has kept."""
    return string.Template(text).substitute(values)


def _all_filled(texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    return {name: filled(text, values) for name, text in texts.items()}


def _content(part: Send, form: Mapping[str, str], values: Mapping[str, str]) -> tuple[str, str]:
    """The body of a request, and of what kind it is."""
    if form:
        return "application/x-www-form-urlencoded", urlencode(form)
    if part.document:
        return "application/json", json.dumps(_all_filled(part.document, values))
    return "text/plain", part.body


def _kept(part: Send, sent: Sent) -> dict[str, str]:
    members = sent.response.members()
    fields = "\n".join(value for _, value in sent.response.fields)
    kept = {name: _as_text(members.get(member)) for name, member in part.keeps.items()}
    found = {name: re.search(pattern, fields) for name, pattern in part.finds.items()}
    return {**kept, **{name: match[1] if match is not None else "" for name, match in found.items()}}


def _as_text(value: object) -> str:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) else ""


def _take_answer(journey: Journey, answer: Answer) -> Returned:
    request = journey.request
    assert request is not None
    query = urlsplit(answer.address).query
    failures: tuple[str, ...] = ()
    try:
        journey.keep({"code": request.code_of(query)})
    except ForeignAnswer:
        failures = (STATE, "this is not the answer to the question that the client asked")
    except MixUp as problem:
        failures = (ISSUER, str(problem))
    except OAuthError as error:
        failures = (NO_ERROR, DENIED if error.code == "access_denied" else f"the server says {error.code}")
    checks = tuple((check, check not in failures) for check in (STATE, ISSUER, NO_ERROR))
    return Returned(answer.address, dict(parse_qsl(query)), checks, failures[-1] if failures else "", answer.request)


def _decode(part: Decode, journey: Journey) -> Decoded:
    token = journey.values[part.token]
    try:
        found = jwt.parse(token.encode("ascii", "replace"))
    except GatewayError:
        return Decoded(part.title, token, {}, {})
    journey.keep({name: _as_text(found.claims.get(claim)) for name, claim in part.keeps.items()})
    return Decoded(part.title, token, found.header, found.claims)


def _forge(part: Forge, journey: Journey) -> Decoded:
    header, _, rest = journey.values[part.token].partition(".")
    claims, _, signature = rest.partition(".")
    written = json.dumps({**strict_json(b64url_decode(claims.encode())), "scope": part.scope})
    forged = f"{header}.{b64url_encode(written.encode())}.{signature}"
    journey.keep({part.copy: forged})
    return _decode(Decode(part.title, part.copy), journey)
