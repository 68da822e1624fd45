"""Dynamic client registration (RFC 7591): what is registered works, and what can't be is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.devauth.visitor import CALLBACK, REQUEST, Page, Visitor

NATIVE: dict[str, Any] = {
    "redirect_uris": ["http://127.0.0.1/callback"],
    "token_endpoint_auth_method": "none",
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "client_name": "Notes",
    "scope": "openid orders:read",
}


async def register(visitor: Visitor, metadata: Any, content_type: str = "application/json") -> Page:
    body = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    page = await visitor.post("/register", body, **{"Content-Type": content_type})
    assert page.fields["Cache-Control"] == "no-store"
    return page


async def test_a_public_client_registers_and_gets_a_token_for_a_user(visitor: Visitor) -> None:
    page = await register(visitor, NATIVE)
    client_id = page.body["client_id"]
    assert (page.status, page.body) == (
        201,
        {**NATIVE, "client_id": client_id, "client_id_issued_at": 1_800_000_000},
    )
    code = await visitor.code({"client_id": client_id, "scope": None})
    answer = await visitor.redeem(code, {"client_id": client_id})
    assert (answer.status, answer.body["scope"]) == (200, "orders:read")


async def test_a_client_with_a_secret_is_told_it_once_and_authenticates_with_it(visitor: Visitor) -> None:
    page = await register(visitor, {"grant_types": ["client_credentials"], "unknown": {"is": "ignored"}})
    assert (page.status, page.body["client_secret_expires_at"]) == (201, 0)
    assert (page.body["token_endpoint_auth_method"], page.body["response_types"]) == ("client_secret_basic", [])
    assert "unknown" not in page.body
    form = {key: page.body[key] for key in ("client_id", "client_secret")}
    answer = await visitor.token({"grant_type": "client_credentials", **form})
    assert (answer.status, answer.body["scope"]) == (200, "orders:read orders:write")
    wrong = await visitor.token({"grant_type": "client_credentials", **form, "client_secret": "x"})
    assert wrong.body["error"] == "invalid_client"


async def test_what_is_left_out_is_as_the_rfc_says(visitor: Visitor) -> None:
    body = (await register(visitor, {"redirect_uris": [CALLBACK]})).body
    assert (body["grant_types"], body["response_types"]) == (["authorization_code"], ["code"])
    assert body["token_endpoint_auth_method"] == "client_secret_basic"
    assert set(body["scope"].split(" ")) == {
        "openid",
        "profile",
        "email",
        "offline_access",
        "orders:read",
        "orders:write",
    }


async def test_only_registered_addresses_are_good(visitor: Visitor) -> None:
    body = (await register(visitor, {**NATIVE, "redirect_uris": ["https://good.com/a"]})).body
    own = {**REQUEST, "client_id": body["client_id"], "scope": "openid"}
    assert (await visitor.get(visitor.address({**own, "redirect_uri": "https://good.com/b"}))).status == 400
    assert (await visitor.get(visitor.address({**own, "redirect_uri": "https://good.com/a"}))).title == "Sign in"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["loopback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://good.com/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://good.com/#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://good.com\\@evil.com"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://good.com/", "/x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": "https://good.com/"}, "invalid_redirect_uri"),
        ({"redirect_uris": [5]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://good.com/"] * 21}, "invalid_redirect_uri"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": ["password"]}, "invalid_client_metadata"),
        ({"grant_types": []}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"grant_types": {"a": 1}}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"response_types": ["code", "id_token"]}, "invalid_client_metadata"),
        ({"response_types": []}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"scope": "admin"}, "invalid_client_metadata"),
        ({"scope": 5}, "invalid_client_metadata"),
        ({"client_name": "a\nb"}, "invalid_client_metadata"),
        ({"client_name": "x" * 201}, "invalid_client_metadata"),
        ({"client_name": ["x"]}, "invalid_client_metadata"),
        ({"client_name": "\ud800"}, "invalid_client_metadata"),
    ],
)
async def test_what_cannot_be_registered_is_named(visitor: Visitor, changes: dict[str, Any], error: str) -> None:
    page = await register(visitor, {**NATIVE, **changes})
    assert (page.status, page.body["error"]) == (400, error)
    assert "client_id" not in page.body
    assert "evil" not in page.text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"{}", "text/plain"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"\xff", "application/json"),
        (b'{"a": ' * 5000, "application/json"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "application/json"),
        (b"redirect_uris=x", "application/x-www-form-urlencoded"),
    ],
)
async def test_what_is_no_json_object_is_refused(visitor: Visitor, body: bytes, content_type: str) -> None:
    page = await register(visitor, body, content_type)
    assert (page.status, page.body["error"]) == (400, "invalid_request")


async def test_a_name_is_shown_as_text_whatever_is_in_it(visitor: Visitor) -> None:
    name = "<img src=x onerror=alert(1)>\"'&"
    body = (await register(visitor, {**NATIVE, "client_name": name})).body
    page = await visitor.consent_page({"client_id": body["client_id"], "scope": "openid"})
    assert "<img" not in page.text
    assert "&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;" in page.text
