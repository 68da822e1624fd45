"""Who gets through: every row of the refusal table that a single request can lead to, over real sockets."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.dialogue import request, statuses, talk
from tests.world import AUDIENCE, ISSUER, bearer, mint, public_jwks, world

READ = {"name": "read", "path": "/orders/{tenant}/**", "methods": ["GET"], "require": {"scopes": ["orders:read"]}}
WRITE = {
    "name": "write",
    "path": "/orders/{tenant}/**",
    "methods": ["POST"],
    "require": {"scopes": ["orders:read", "orders:write"], "any_scope": ["a", "b"]},
}
TENANT = {"name": "tenant", "path": "/own/{tenant}", "require": {"claims": {"tenant": "{tenant}"}}}


@pytest.mark.parametrize(
    ("headers", "status", "reason", "error"),
    [
        ((), 401, "token_missing", None),
        (("Authorization: Basic YTpi",), 401, "token_missing", None),
        (("Authorization: Bearer",), 400, "request_invalid", "invalid_request"),
        (("Authorization: Bearer a b",), 400, "request_invalid", "invalid_request"),
        (("Authorization: Bearer a.b",), 401, "token_malformed", "invalid_token"),
        (("Authorization: Bearer " + "a" * 20000,), 401, "token_too_large", "invalid_token"),
        (("Authorization: Bearer " + "." * 10000,), 401, "token_malformed", "invalid_token"),
        (("Authorization: Bearer a", "Authorization: Basic YTpi"), 400, "credentials_multiple", "invalid_request"),
        ({"exp": -100}, 401, "token_expired", "invalid_token"),
        ({"nbf": 100}, 401, "token_not_yet_valid", "invalid_token"),
        ({"iss": "https://other.example"}, 401, "issuer_unknown", "invalid_token"),
        ({"aud": "other"}, 401, "audience_mismatch", "invalid_token"),
        ({"sub": None}, 401, "claim_invalid", "invalid_token"),
        ({"nonce": "n", "typ": "ID"}, 401, "token_type_refused", "invalid_token"),
        ({"cnf": {"jkt": "x"}}, 401, "binding_mismatch", "invalid_token"),
        ({"scope": "orders:write"}, 403, "scope_insufficient", "insufficient_scope"),
        ({"scope": None}, 403, "scope_insufficient", "insufficient_scope"),
    ],
)
async def test_each_refusal_has_its_status_reason_and_code_and_the_upstream_hears_nothing(
    headers: tuple[str, ...] | dict[str, Any], status: int, reason: str, error: str | None
) -> None:
    """The first column is header lines, or claims of a token that is made when the test runs (times from now)."""
    if isinstance(headers, dict):
        now = int(time.time())
        claims = {name: now + value if name in ("exp", "nbf") else value for name, value in headers.items()}
        headers = (bearer(**{"scope": "orders:read", **claims}),)
    async with world(READ, limits={"request_head": "64KiB"}) as w:
        answer = await w.ask("GET", "/orders/t1/5", *headers)
        body = json.loads(answer.body)
        assert (answer.status, body["status"], body["reason"], body.get("error")) == (status, status, reason, error)
        assert body["type"] == f"urn:oauth-gateway:{reason}"
        assert answer.header("Content-Type") == "application/problem+json"
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("X-Request-Id") == body["request_id"] == w.records[0].request_id
        challenge = answer.header("WWW-Authenticate") or ""
        assert challenge.startswith('Bearer realm="api"')
        assert ("error=" in challenge) is (error is not None)
        assert 'resource_metadata="http://api.example.com/.well-known/oauth-protected-resource/orders"' in challenge
        assert w.origin.peers == []
        assert (w.records[0].decision, w.records[0].reason) == ("refuse", reason)


async def test_a_plain_token_sent_as_dpop_is_refused() -> None:
    async with world(READ) as w:
        answer = await w.ask("GET", "/orders/t1/5", bearer(scope="orders:read").replace("Bearer", "DPoP"))
        assert (answer.status, json.loads(answer.body)["reason"]) == (401, "binding_mismatch")


async def test_the_challenge_names_every_scope_the_route_needs() -> None:
    async with world(WRITE) as w:
        missing = await w.ask("POST", "/orders/t1/5")
        lacking = await w.ask("POST", "/orders/t1/5", bearer(scope="orders:write a"))
        for answer in (missing, lacking):
            assert 'scope="orders:read orders:write a b"' in (answer.header("WWW-Authenticate") or "")
        assert w.records[1].scopes_missing == ("orders:read",)


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ("orders:read orders:write b", 200),
        ("b orders:write orders:read other", 200),
        ("orders:read orders:write", 403),
        ("orders:write b", 403),
        ("orders:read orders:WRITE b", 403),
        ("orders:read\u00a0orders:write b", 403),
        (["orders:read", "orders:write", "a"], 200),
        (["orders:read orders:write a"], 403),
        ({"orders:read": True}, 403),
        (7, 403),
    ],
)
async def test_scopes_are_words_separated_by_one_blank_or_a_list(scope: Any, status: int) -> None:
    async with world(WRITE) as w:
        assert (await w.ask("POST", "/orders/t1/5", bearer(scope=scope))).status == status


@pytest.mark.parametrize(
    ("path", "claims", "status"),
    [
        ("/own/t1", {"tenant": "t1"}, 200),
        ("/own/%741", {"tenant": "t1"}, 200),
        ("/own/t1", {"tenant": ["t0", "t1"]}, 200),
        ("/own/42", {"tenant": 42}, 200),
        ("/own/caf%C3%A9", {"tenant": "café"}, 200),
        ("/own/t2", {"tenant": "t1"}, 403),
        ("/own/t1", {}, 403),
        ("/own/true", {"tenant": True}, 403),
        ("/own/t1%20", {"tenant": "t1"}, 403),
    ],
)
async def test_a_path_parameter_is_held_against_a_claim_decoded(path: str, claims: dict[str, Any], status: int) -> None:
    async with world(TENANT) as w:
        for _ in range(2):  # the second time the token comes from the cache
            assert (await w.ask("GET", path, bearer(**claims))).status == status


async def test_one_token_is_judged_anew_for_each_path_and_each_route() -> None:
    async with world(READ, WRITE, TENANT) as w:
        token = bearer(scope="orders:read", tenant="t1")
        expected = {"/own/t1": 200, "/own/t2": 403, "/orders/t1/5": 200}
        for _ in range(2):
            for path, status in expected.items():
                assert (await w.ask("GET", path, token)).status == status
            assert (await w.ask("POST", "/orders/t1/5", token)).status == 403


async def test_a_claim_rule_that_no_scope_would_cure_has_no_challenge() -> None:
    async with world(TENANT) as w:
        answer = await w.ask("GET", "/own/t2", bearer(tenant="t1"))
        assert (answer.status, json.loads(answer.body)["reason"]) == (403, "claim_refused")
        assert answer.header("WWW-Authenticate") is None


async def test_a_public_route_looks_at_no_token() -> None:
    async with world({"path": "/open", "public": True}) as w:
        for headers in ((), ("Authorization: Bearer",), ("Authorization: Bearer x", "Authorization: Bearer y")):
            assert (await w.ask("GET", "/open", *headers)).status == 200
        assert b"x-auth-" not in w.sent_upstream.lower()


async def test_where_a_token_is_optional_a_bad_one_is_still_refused() -> None:
    async with world({"path": "/maybe", "token": "optional", "require": {"scopes": ["s"]}}) as w:
        assert (await w.ask("GET", "/maybe")).status == 200
        assert (await w.ask("GET", "/maybe", "Authorization: Basic YTpi")).status == 200
        assert (await w.ask("GET", "/maybe", bearer(scope="s"))).status == 200
        assert (await w.ask("GET", "/maybe", bearer(scope="x"))).status == 403
        assert (await w.ask("GET", "/maybe", "Authorization: Bearer x.y.z")).status == 401


async def test_shadow_mode_forwards_what_it_would_refuse_and_says_so() -> None:
    async with world({"path": "/s", "enforce": False, "require": {"scopes": ["s"]}}) as w:
        for headers in ((), ("Authorization: Bearer x.y.z",), (bearer(scope="x"),), (bearer(scope="s"),)):
            assert (await w.ask("GET", "/s", *headers)).status == 200
        decisions = [(record.decision, record.reason) for record in w.records]
        assert decisions == [
            ("would_refuse", "token_missing"),
            ("would_refuse", "token_malformed"),
            ("would_refuse", "scope_insufficient"),
            ("allow", None),
        ]


async def test_in_shadow_mode_nobody_is_vouched_for_but_the_holder_of_a_good_token() -> None:
    async with world({"path": "/s", "enforce": False, "require": {"scopes": ["s"]}}) as w:
        await w.ask("GET", "/s", bearer(scope="x", sub="lacks-a-scope"))
        await w.ask("GET", "/s", bearer(scope="s", sub="stolen", cnf={"jkt": "x"}))
        await w.ask("GET", "/s", bearer(scope="s", sub="expired", exp=1), "X-Auth-Subject: evil")
        assert b"X-Auth-Subject: lacks-a-scope" in w.sent_upstream
        for name in (b"stolen", b"expired", b"evil"):
            assert name not in w.sent_upstream


async def test_a_route_may_ask_for_an_issuer_and_an_audience_of_its_own() -> None:
    routes = (
        {"path": "/a", "require": {"audience": ["orders-api", "x"]}},
        {"path": "/b", "require": {"audience": ["billing-api"]}},
        {"path": "/c", "require": {"issuers": ["other"]}},
    )
    other = {"issuer": "https://other.example", "audience": "any", "secret": "s" * 32, "algorithms": ["HS256"]}
    issuers = {"corp": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks())}, "other": other}
    async with world(*routes, issuers=issuers) as w:
        assert (await w.ask("GET", "/a", bearer())).status == 200
        assert json.loads((await w.ask("GET", "/b", bearer())).body)["reason"] == "audience_mismatch"
        answer = await w.ask("GET", "/c", bearer())
        assert (answer.status, json.loads(answer.body)["reason"]) == (403, "issuer_refused")


@pytest.mark.parametrize(
    ("method", "target", "status", "reason"),
    [
        ("GET", "/nothing", 404, "route_not_found"),
        ("GET", "/", 404, "route_not_found"),
        ("OPTIONS", "*", 404, "route_not_found"),
        ("DELETE", "/orders/t1/5", 405, "method_not_allowed"),
        ("GET", "/_gateway/anything", 404, "route_not_found"),
        ("GET", "/orders/../own/t1", 400, "path_ambiguous"),
        ("GET", "/orders/t1/%2e%2e/x", 400, "path_ambiguous"),
        ("GET", "/orders//t1", 400, "path_ambiguous"),
        ("GET", "/orders/t1/a%2Fb", 400, "path_ambiguous"),
        ("GET", "/orders/t1/a;b", 400, "path_ambiguous"),
        ("GET", "/orders/t1/%00", 400, "path_ambiguous"),
        ("GET", "/nothing/a%2fb", 400, "path_ambiguous"),
        ("DELETE", "/orders/t1/a;b", 400, "path_ambiguous"),
        ("GET", "/orders/t1/%zz", 400, "path_ambiguous"),
        ("GET", "/orders/t1/%252e", 400, "path_ambiguous"),
        ("GET", "/orders/t1/%ff", 400, "path_ambiguous"),
        ("GET", "/orders/t1/#x", 400, "path_ambiguous"),
        ("GET", "/orders\\t1", 400, "path_ambiguous"),
    ],
)
async def test_what_leads_nowhere_is_refused_before_any_token_is_looked_at(
    method: str, target: str, status: int, reason: str
) -> None:
    async with world(READ, WRITE, TENANT) as w:
        answer = await w.ask(method, target, bearer(scope="orders:read"))
        assert (answer.status, json.loads(answer.body)["reason"]) == (status, reason)
        assert (answer.header("Allow") == "GET, HEAD, POST") is (status == 405)
        assert w.origin.peers == []


async def test_a_catch_all_route_does_not_reach_the_gateways_own_paths() -> None:
    async with world({"path": "/**", "public": True}) as w:
        assert (await w.ask("GET", "/_gateway/backchannel-logout/corp")).status == 404
        assert (await w.ask("GET", "/_gateway")).status == 404
        assert (await w.ask("GET", "/_gatewayx")).status == 200


@pytest.mark.parametrize("host", ["", "a, b", "u@evil", "a/b", "a b", "[::1", "a:99999", "a..b", "a:x"])
async def test_a_host_that_is_none_is_refused(host: str) -> None:
    async with world({"path": "/open", "public": True}) as w:
        answer = await talk(w.address, request("GET", "/open", host=host))
        assert (answer.status, answer.closed) == (400, True)
        assert json.loads(answer.body)["reason"] in ("host_invalid", "request_invalid")


async def test_hosts_choose_routes_without_case_port_and_trailing_dot() -> None:
    routes = (
        {"name": "exact", "host": "api.example.com", "path": "/x", "respond": {"body": "exact"}, "public": True},
        {"name": "below", "host": "*.example.com", "path": "/x", "respond": {"body": "below"}, "public": True},
        {"name": "any", "path": "/x", "respond": {"body": "any"}, "public": True},
    )
    expected = {
        "API.Example.COM.:8443": b"exact",
        "a.b.example.com": b"below",
        "www.example.com": b"below",
        "example.com": b"any",
        "evilexample.com": b"any",
        "[::1]:80": b"any",
    }
    async with world(*routes) as w:
        for host, body in expected.items():
            assert (await talk(w.address, request("GET", "/x", host=host))).body == body


async def test_an_absolute_target_replaces_host_and_must_be_served_here() -> None:
    async with world({"host": "api.example.com", "path": "/x", "respond": {"body": "yes"}, "public": True}) as w:
        assert (await w.ask("GET", "http://api.example.com/x")).body == b"yes"
        wrong = await w.ask("GET", "http://evil.example/x")
        assert (wrong.status, json.loads(wrong.body)["reason"]) == (400, "host_invalid")
        assert (await w.ask("GET", "ftp://api.example.com/x")).status == 400
    async with world(READ) as w:
        asked = await w.ask("GET", "http://other.example/orders/t1/5")
        assert 'resource_metadata="http://other.example/' in (asked.header("WWW-Authenticate") or "")
        assert (await w.ask("GET", "http://u@api.example.com/x")).status == 400


@pytest.mark.parametrize("wanted", [("problem", True), ("problem", False), ("oauth", True), ("oauth", False)])
async def test_the_form_of_refusals_can_be_chosen(wanted: tuple[str, bool]) -> None:
    form, exposes = wanted
    async with world(READ, errors={"format": form, "expose_reason": exposes}) as w:
        answer = await w.ask("GET", "/orders/t1/5", "Authorization: Bearer x.y.z")
        body = json.loads(answer.body)
        media = "application/problem+json" if form == "problem" else "application/json"
        assert answer.header("Content-Type") == media
        assert body["error"] == "invalid_token"
        assert ("reason" in body) is exposes
        assert ("error_description" in (answer.header("WWW-Authenticate") or "")) is exposes
        if form == "problem":
            assert body["type"] == ("urn:oauth-gateway:token_malformed" if exposes else "about:blank")
        else:
            assert ("error_description" in body) is exposes


async def test_head_is_refused_like_get_but_without_a_body() -> None:
    async with world(READ) as w:
        answer = await talk(w.address, request("HEAD", "/orders/t1/5") + request("HEAD", "/orders/t1/5"))
        assert statuses(answer.raw) == [401, 401]
        assert b"urn:oauth" not in answer.raw


@pytest.mark.parametrize("path", ["", "/orders", "/own"])
async def test_protected_resource_metadata_says_where_to_get_which_token(path: str) -> None:
    async with world(READ, WRITE, TENANT, {"path": "/open", "public": True}) as w:
        answer = await w.ask("GET", f"/.well-known/oauth-protected-resource{path}")
        document = json.loads(answer.body)
        assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
        assert document["resource"] == f"http://api.example.com{path}"
        assert document["authorization_servers"] == ["https://login.example.com"]
        assert document["bearer_methods_supported"] == ["header"]
        assert ("scopes_supported" in document) is (path != "/own")
        assert (await w.ask("GET", "/.well-known/oauth-protected-resource/open")).status == 404
        assert (await w.ask("POST", f"/.well-known/oauth-protected-resource{path}")).status == 405


async def test_the_external_url_is_what_metadata_and_challenges_speak_of() -> None:
    async with world(READ, external_url="https://api.example.org") as w:
        answer = await w.ask("GET", "/orders/t1/5", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: ftp")
        address = "https://api.example.org/.well-known/oauth-protected-resource/orders"
        assert f'resource_metadata="{address}"' in (answer.header("WWW-Authenticate") or "")


async def test_a_configured_route_for_the_metadata_address_wins() -> None:
    own = {"path": "/.well-known/**", "respond": {"body": "mine"}, "public": True}
    async with world(READ, own) as w:
        assert (await w.ask("GET", "/.well-known/oauth-protected-resource/orders")).body == b"mine"


async def test_a_catch_all_route_leaves_the_metadata_readable() -> None:
    async with world({"path": "/**", "require": {"scopes": ["s"]}}) as w:
        answer = await w.ask("GET", "/.well-known/oauth-protected-resource")
        assert json.loads(answer.body)["scopes_supported"] == ["s"]


async def test_a_token_in_the_query_or_in_the_body_is_no_credential() -> None:
    async with world(READ, WRITE) as w:
        token = mint(scope="orders:read orders:write a")
        assert (await w.ask("GET", f"/orders/t1/5?access_token={token}")).status == 401
        form = "Content-Type: application/x-www-form-urlencoded"
        assert (await w.ask("POST", "/orders/t1/5", form, body=f"access_token={token}".encode())).status == 401
