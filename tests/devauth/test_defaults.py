"""Whom the server knows without a file: as the documents promise."""

from __future__ import annotations

import pytest

from gateway.devauth.clients import DEVICE_CODE
from gateway.devauth.defaults import CLIENTS, SCOPES, USERS

BY_ID = {client.client_id: client for client in CLIENTS}


def test_there_is_a_client_for_each_way_to_a_token() -> None:
    assert {name: (client.client_secret, client.access_token) for name, client in BY_ID.items()} == {
        "demo-web": (None, "jwt"),
        "demo-service": ("demo-service-secret", "jwt"),
        "demo-device": (None, "jwt"),
        "demo-opaque": ("demo-opaque-secret", "opaque"),
    }
    assert BY_ID["demo-web"].grant_types == {"authorization_code", "refresh_token"}
    assert BY_ID["demo-service"].grant_types == {"client_credentials"}
    assert BY_ID["demo-device"].grant_types == {DEVICE_CODE, "refresh_token"}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.client_id)
def test_each_may_ask_for_all_scopes_of_the_sample_api_and_every_scope_is_explained(client: object) -> None:
    scopes: frozenset[str] = client.scopes  # type: ignore[attr-defined]
    assert {"orders:read", "orders:write"} <= scopes <= SCOPES.keys()


def test_the_users_are_alice_and_bob_and_each_has_a_tenant() -> None:
    assert [(user.name, user.password, user.own_claims) for user in USERS] == [
        ("alice", "alice", {"tenant": "acme"}),
        ("bob", "bob", {"tenant": "globex"}),
    ]
