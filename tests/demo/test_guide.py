"""The guide against the real servers: what it keeps, what it finds wrong, and what it then does not do."""

from __future__ import annotations

import dataclasses
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.demo.guide import DENIED, Guide
from gateway.demo.journey import Journey
from gateway.demo.seen import Answer, Decoded, Exchange, Link, Outcome, Returned, Shortened, Unanswered
from gateway.demo.story import ASKS_SERVER, Decode, Expected, Forge, Part, Send, Shorten, Step, Story, basic, call
from gateway.demo.user import PlayedUser
from gateway.demo.world import World
from gateway.oauth import pkce
from tests.demo.traveller import CALLBACK, Traveller, story

TOKEN = Send(
    title="a token",
    way=ASKS_SERVER,
    expects=Expected(200),
    url="$token_endpoint",
    fields=basic("demo-service", "demo-service-secret"),
    form={"grant_type": "client_credentials", "scope": "orders:read"},
    keeps={"access_token": "access_token"},
)
READ = call("reading", "GET", "/orders/acme", Expected(200), token="access_token")


def of_steps(*steps: tuple[Part, ...]) -> Story:
    """A story of these steps."""
    taken = tuple(Step(title="a step", before="", after="", button="Go", parts=parts) for parts in steps)
    return dataclasses.replace(story("client-credentials"), steps=taken)


async def played(guide: Guide, *parts: Part) -> tuple[Journey, Outcome]:
    journey = guide.begin(of_steps(parts))
    return journey, await guide.play(journey, 1)


async def test_a_request_is_made_with_the_values_of_the_journey_and_explained(traveller: Traveller) -> None:
    journey, outcome = await played(traveller.guide, TOKEN, READ)
    asked, read = outcome.seen
    assert isinstance(asked, Exchange)
    assert isinstance(read, Exchange)
    assert outcome.failure == ""
    assert asked.form == {"grant_type": "client_credentials", "scope": "orders:read"}
    token = journey.values["access_token"]
    assert read.sent.request.value_of("Authorization") == f"Bearer {token}"
    assert journey.tokens == {token: "access token"}
    assert read.explanation is not None
    assert read.explanation.allowed
    assert asked.explanation is None


async def test_what_is_not_as_told_ends_the_step_and_keeps_nothing(traveller: Traveller) -> None:
    wrong = dataclasses.replace(TOKEN, expects=Expected(201))
    journey, outcome = await played(traveller.guide, wrong, READ)
    assert outcome.failure == "expected 201, got 200"
    assert len(outcome.seen) == 1
    assert "access_token" not in journey.values
    assert journey.next_number == 1


async def test_a_server_that_does_not_answer_is_told(traveller: Traveller) -> None:
    gone = dataclasses.replace(TOKEN, url="http://127.0.0.1:1/token")
    _, outcome = await played(traveller.guide, gone)
    assert isinstance(outcome.seen[0], Unanswered)
    assert outcome.failure == "no answer: ClientConnectorError"


async def test_a_step_taken_once_more_makes_the_later_ones_as_if_they_had_not_been(traveller: Traveller) -> None:
    journey = traveller.guide.begin(of_steps((TOKEN,), (READ,), (READ,)))
    await traveller.go(journey, 3)
    await traveller.guide.play(journey, 2)
    assert sorted(journey.outcomes) == [1, 2]


async def test_what_is_sent_says_of_what_kind_it_is(traveller: Traveller) -> None:
    order = call("ordering", "POST", "/orders/acme", Expected(403), token="access_token", body="hammer")
    revoke = Send(
        title="revoking",
        way=ASKS_SERVER,
        expects=Expected(400),
        url="$admin/api/revocations",
        fields={"Authorization": "Bearer $admin_token"},
        document={"issuer": "nobody"},
    )
    _, outcome = await played(traveller.guide, TOKEN, order, revoke)
    assert outcome.failure == ""
    kinds = [seen.sent.request.value_of("Content-Type") for seen in outcome.seen if isinstance(seen, Exchange)]
    assert kinds == ["application/x-www-form-urlencoded", "text/plain", "application/json"]


async def test_a_value_is_found_in_the_header_fields_and_of_a_list_the_first_is_kept(traveller: Traveller) -> None:
    journey = traveller.guide.begin(story("who-is-who"))
    await traveller.go(journey, 2)
    assert journey.values["resource_metadata"].endswith("/.well-known/oauth-protected-resource/orders")
    assert journey.values["authorization_server"] == journey.values["issuer"]


async def test_a_copy_ends_soon_and_the_journey_knows_when(traveller: Traveller) -> None:
    shorten = Shorten("access_token", "short_token", 8)
    read = dataclasses.replace(READ, token="short_token")
    began = time.time()
    journey, outcome = await played(traveller.guide, TOKEN, shorten, read)
    assert outcome.failure == ""
    seen = outcome.seen[1]
    assert isinstance(seen, Shortened)
    assert seen.ends_at == journey.moments["short_token"]
    assert int(began) + 8 <= seen.ends_at <= time.time() + 8
    assert journey.values["short_token"] != journey.values["access_token"]


async def test_a_changed_token_has_another_scope_and_the_old_signature(traveller: Traveller) -> None:
    forge = Forge("a look", "access_token", "forged_token", "orders:read orders:write")
    journey, outcome = await played(traveller.guide, TOKEN, forge)
    forged, token = journey.values["forged_token"], journey.values["access_token"]
    assert forged.split(".")[::2] == token.split(".")[::2]
    seen = outcome.seen[1]
    assert isinstance(seen, Decoded)
    assert seen.claims["scope"] == "orders:read orders:write"
    assert seen.claims["sub"] == "demo-service"


async def test_what_is_no_jwt_is_opaque(traveller: Traveller) -> None:
    opaque = dataclasses.replace(TOKEN, fields=basic("demo-opaque", "demo-opaque-secret"))
    _, outcome = await played(traveller.guide, opaque, Decode("a look", "access_token", {"jti": "jti"}))
    seen = outcome.seen[1]
    assert isinstance(seen, Decoded)
    assert seen.is_opaque


async def test_the_link_shows_a_hash_of_what_the_client_keeps(traveller: Traveller, world: World) -> None:
    journey = traveller.guide.begin(story("code"))
    (link,) = (await traveller.guide.play(journey, 1)).seen
    assert isinstance(link, Link)
    query = {name: values[0] for name, values in parse_qs(urlsplit(link.address).query).items()}
    assert query == link.parameters
    assert link.address.startswith(f"{world.issuer}/authorize?")
    assert query["client_id"] == "demo-web"
    assert query["redirect_uri"] == CALLBACK
    assert query["code_challenge_method"] == "S256"
    assert query["code_challenge"] == pkce.challenge(link.kept["code_verifier"])
    assert link.kept["code_verifier"] not in link.address


async def answered(traveller: Traveller, change: tuple[str, str] = ("", "")) -> tuple[Journey, Outcome]:
    """The answer of a sign-in, with a change."""
    journey = traveller.guide.begin(story("code"))
    await traveller.go(journey, 1)
    answer = await traveller.visit(journey, 2)
    changed = Answer(answer.address.replace(*change)) if change[0] else answer
    assert changed.address != answer.address or not change[0]
    return journey, await traveller.guide.play(journey, 2, changed)


async def test_a_good_answer_meets_every_check_and_its_code_is_kept(traveller: Traveller) -> None:
    journey, outcome = await answered(traveller)
    (returned,) = outcome.seen
    assert isinstance(returned, Returned)
    assert [is_met for _, is_met in returned.checks] == [True, True, True]
    assert journey.values["code"] == returned.parameters["code"]


@pytest.mark.parametrize(
    ("change", "unmet", "failure"),
    [
        (("&state=", "&state=x"), 0, "not the answer to the question"),
        (("&state=", "&x="), 0, "not the answer to the question"),
        (("&iss=http", "&iss=https"), 1, "iss of the answer is another issuer's"),
        (("&iss=", "&x="), 1, "iss is missing in the answer"),
        (("?code=", "?error="), 2, "the server says"),
        (("?code=", "?x="), 0, "not the answer to the question"),
    ],
)
async def test_an_answer_with_something_odd_gives_no_code(
    traveller: Traveller, change: tuple[str, str], unmet: int, failure: str
) -> None:
    journey, outcome = await answered(traveller, change)
    (returned,) = outcome.seen
    assert isinstance(returned, Returned)
    assert [is_met for _, is_met in returned.checks].index(False) == unmet
    assert failure in outcome.failure
    assert "code" not in journey.values


async def test_who_says_no_is_told_what_the_client_gets(traveller: Traveller) -> None:
    journey = traveller.guide.begin(story("code"))
    await traveller.go(journey, 1)
    _, answer = await PlayedUser(traveller.wire, decision="deny").visit(journey.values["authorization_url"], CALLBACK)
    assert answer is not None
    outcome = await traveller.guide.play(journey, 2, answer)
    assert outcome.failure == DENIED
    assert "code" not in journey.values
