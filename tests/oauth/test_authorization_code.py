"""The authorization request, and which answers to it count."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from gateway.oauth import authorization_code, pkce
from gateway.oauth.authorization_code import AuthorizationRequest, ForeignAnswer, MixUp, begin
from gateway.oauth.authorization_server import AuthorizationServer
from gateway.oauth.client import IssuerClient, IssuerFailure
from gateway.oauth.client_authentication import ClientSecretPost, PublicClient
from gateway.oauth.discovery import Metadata
from gateway.oauth.error_response import OAuthError
from tests.authorization_server import Scripted, ScriptedServer, error_answer

ISSUER = "https://as.example/tenant"
REDIRECT = "http://127.0.0.1:4711/callback"


def server(**members: Any) -> AuthorizationServer:
    usual = {"authorization_endpoint": "https://as.example/authorize"}
    return AuthorizationServer(ISSUER, Metadata("https://as.example/.well-known/x", members={**usual, **members}))


def started(**members: Any) -> AuthorizationRequest:
    return begin(server(**members), "app", REDIRECT, "a b")


def answer(request: AuthorizationRequest, **parameters: Any) -> str:
    """The query of a good answer, but for the parameters given; None leaves one out."""
    usual = {"code": "C", "state": request.state, "iss": ISSUER, **parameters}
    return urlencode({name: value for name, value in usual.items() if value is not None})


def test_the_request_is_that_of_the_rfcs() -> None:
    request = begin(server(), "app", REDIRECT, "a b", resources=["urn:x", "urn:y"], parameters={"prompt": "login"})
    pairs = parse_qsl(urlsplit(request.address).query)
    assert [value for name, value in pairs if name == "resource"] == ["urn:x", "urn:y"]
    assert {name: value for name, value in pairs if name != "resource"} == {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": REDIRECT,
        "scope": "a b",
        "state": request.state,
        "code_challenge": pkce.challenge(request.verifier),
        "code_challenge_method": "S256",
        "prompt": "login",
    }
    assert request.address.startswith("https://as.example/authorize?")
    assert request.verifier not in request.address
    assert request.verifier not in repr(request)
    assert request.state not in repr(request)


def test_a_query_of_the_endpoint_is_kept() -> None:
    request = started(authorization_endpoint="https://as.example/authorize?tenant=a%2Fb")
    assert request.address.startswith("https://as.example/authorize?tenant=a%2Fb&")


def test_no_two_requests_share_state_or_verifier() -> None:
    requests = [started() for _ in range(1000)]
    assert len({request.state for request in requests}) == 1000
    assert len({request.verifier for request in requests}) == 1000
    assert min(len(request.state) for request in requests) >= 43


@pytest.mark.parametrize("name", sorted(authorization_code.OWN_PARAMETERS))
def test_nobody_replaces_what_the_grant_sets(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        begin(server(), "app", REDIRECT, parameters={name: "x"})


@pytest.mark.parametrize("methods", [["plain"], [], ["s256"], [7]])
def test_an_issuer_without_s256_gets_no_request(methods: list[Any]) -> None:
    with pytest.raises(IssuerFailure) as refused:
        started(code_challenge_methods_supported=methods)
    assert refused.value.kind == "pkce"


@pytest.mark.parametrize("methods", [["plain", "S256"], None, "S256"])
def test_s256_is_sent_where_it_is_listed_and_where_nothing_is_said(methods: Any) -> None:
    members = {} if methods is None else {"code_challenge_methods_supported": methods}
    assert "code_challenge_method=S256" in started(**members).address


@pytest.mark.parametrize("iss", [ISSUER, None])
def test_the_code_of_the_right_answer_is_taken(iss: str | None) -> None:
    request = started()
    assert request.code_of(answer(request, code="a+b/c=", iss=iss)) == "a+b/c="


@pytest.mark.parametrize("state", ["other", "", None, "ä", "x" * 10_000])
def test_an_answer_with_another_state_is_no_answer(state: str | None) -> None:
    request = started()
    for parameters in ({}, {"error": "access_denied"}, {"iss": "https://evil.example"}):
        with pytest.raises(ForeignAnswer):
            request.code_of(answer(request, state=state, **parameters))


@pytest.mark.parametrize("extra", ["&code=D", "&state=x", "&iss=https://evil.example", "&error=a&error=b"])
def test_a_parameter_that_comes_twice_makes_no_answer(extra: str) -> None:
    request = started()
    with pytest.raises(ForeignAnswer):
        request.code_of(answer(request) + extra)


@pytest.mark.parametrize(
    "query", ["", "%ff=%fe&state=%ff", "&".join(f"a{n}=1" for n in range(1000)), "code", "=", "&&"]
)
def test_any_query_is_read_without_harm(query: str) -> None:
    with pytest.raises(ForeignAnswer):
        started().code_of(query)


def test_an_answer_without_code_and_error_is_none() -> None:
    request = started()
    for code in ("", None):
        with pytest.raises(ForeignAnswer):
            request.code_of(answer(request, code=code))


@pytest.mark.parametrize(
    "iss",
    [f"{ISSUER}/", "https://AS.example/tenant", "https://as.example/%74enant", "http://as.example/tenant", "x"],
)
@pytest.mark.parametrize("parameters", [{}, {"error": "access_denied", "error_description": "EVIL"}])
def test_an_answer_of_another_issuer_is_a_mix_up_and_its_text_is_not_read(iss: str, parameters: dict[str, str]) -> None:
    request = started()
    with pytest.raises(MixUp) as refused:
        request.code_of(answer(request, iss=iss, **parameters))
    assert "EVIL" not in str(refused.value)


@pytest.mark.parametrize("parameters", [{}, {"error": "access_denied"}])
def test_an_issuer_that_promises_its_name_has_to_give_it(parameters: dict[str, str]) -> None:
    promising = started(authorization_response_iss_parameter_supported=True)
    with pytest.raises(MixUp):
        promising.code_of(answer(promising, iss=None, **parameters))
    silent = started(authorization_response_iss_parameter_supported="true")
    assert silent.code_of(answer(silent, iss=None)) == "C"


def test_a_refusal_is_told_in_its_own_words_made_harmless() -> None:
    request = started()
    with pytest.raises(OAuthError) as refused:
        request.code_of(answer(request, code=None, error="access_denied", error_description="no\x1b[31m way"))
    assert (refused.value.code, refused.value.description) == ("access_denied", "no?[31m way")
    # Even where somebody puts a code beside it.
    with pytest.raises(OAuthError):
        request.code_of(answer(request, error="access_denied"))


async def test_a_pushed_request_leaves_only_a_reference_in_the_address() -> None:
    async with ScriptedServer() as issuer, IssuerClient(timeout=5) as client:
        issuer.answers["/par"] = [Scripted({"request_uri": "urn:x:1", "expires_in": 60}, 201)]
        request = begin(await issuer.found(client), "app", REDIRECT, "a", resources=["urn:x", "urn:y"])
        address = await request.push(client, ClientSecretPost("app", "S"), "app")
        assert address == f"{issuer.origin}/authorize?client_id=app&request_uri=urn%3Ax%3A1"
        pairs = issuer.asked_at("/par")[0].pairs
        assert ("client_secret", "S") in pairs
        assert [value for name, value in pairs if name == "resource"] == ["urn:x", "urn:y"]
        assert sum(name == "client_id" for name, _ in pairs) == 1
        assert dict(pairs)["state"] == request.state


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (error_answer("invalid_request"), OAuthError),
        (Scripted({"request_uri": ""}, 201), IssuerFailure),
        (Scripted({"request_uri": 7}, 201), IssuerFailure),
        (Scripted({"request_uri": "urn:x"}, 200), IssuerFailure),
        (Scripted("", 500), IssuerFailure),
    ],
)
async def test_a_pushed_request_that_is_not_taken_ends_the_sign_in(reply: Scripted, error: type[Exception]) -> None:
    async with ScriptedServer() as issuer, IssuerClient(timeout=5) as client:
        issuer.answers["/par"] = [reply]
        request = begin(await issuer.found(client), "app", REDIRECT)
        with pytest.raises(error):
            await request.push(client, PublicClient("app"), "app")
