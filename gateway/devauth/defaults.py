"""Whom the server knows when no file says otherwise: alice and bob, and one client for each way to get a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.devauth import redirects
from gateway.devauth.clients import DEVICE_CODE, Client
from gateway.devauth.scopes import OPENID
from gateway.devauth.users import User

AUDIENCE: Final = "orders-api"
"""`aud` of every access token, unless a client has another: the sample API of the demo."""

_API: Final[Mapping[str, str]] = {"orders:read": "Read your orders", "orders:write": "Place orders in your name"}
SCOPES: Final[Mapping[str, str]] = {**OPENID, **_API}

_FOR_USERS = frozenset({"openid", "profile", "email", "offline_access", *_API})


def _user(name: str, family_name: str, tenant: str) -> User:
    given_name = name.capitalize()
    return User(
        name,
        name,
        {
            "name": f"{given_name} {family_name}",
            "given_name": given_name,
            "family_name": family_name,
            "preferred_username": name,
            "email": f"{name}@example.com",
            "email_verified": True,
            "tenant": tenant,
        },
    )


USERS: Final = (_user("alice", "Example", "acme"), _user("bob", "Sample", "globex"))

CLIENTS: Final = (
    Client(
        "demo-web",
        None,
        _FOR_USERS,
        AUDIENCE,
        grant_types=frozenset({"authorization_code", "refresh_token"}),
        redirect_uris=(redirects.ANY_LOOPBACK,),
        post_logout_redirect_uris=(redirects.ANY_LOOPBACK,),
        name="Demo web application",
    ),
    Client(
        "demo-service",
        "demo-service-secret",
        frozenset(_API),
        AUDIENCE,
        claims={"tenant": "acme"},
        name="Demo service",
    ),
    Client(
        "demo-device",
        None,
        _FOR_USERS,
        AUDIENCE,
        grant_types=frozenset({DEVICE_CODE, "refresh_token"}),
        name="Demo device",
    ),
    Client(
        "demo-opaque",
        "demo-opaque-secret",
        _FOR_USERS,
        AUDIENCE,
        grant_types=frozenset({"authorization_code", "client_credentials", "refresh_token"}),
        redirect_uris=(redirects.ANY_LOOPBACK,),
        post_logout_redirect_uris=(redirects.ANY_LOOPBACK,),
        claims={"tenant": "acme"},
        access_token="opaque",
        name="Demo of opaque tokens",
    ),
)
