"""What a client is allowed, by what is known of it."""

from __future__ import annotations

import pytest

from gateway.devauth.clients import Client, Clients

PUBLIC = Client("web", None, frozenset({"openid", "email", "read", "write"}), "api")
SERVICE = Client("svc", "sécret", frozenset({"read"}), "api")


def client(*redirect_uris: str) -> Client:
    return Client("c", None, frozenset(), "api", redirect_uris=redirect_uris)


@pytest.mark.parametrize(
    ("asked", "granted"),
    [("write openid", "openid write"), ("read  read", "read"), (None, "read write"), ("", "read write")],
)
def test_without_a_scope_the_apis_are_granted_and_openids_are_not(asked: str | None, granted: str) -> None:
    assert PUBLIC.get_allowed_scope(asked) == granted


def test_a_client_with_openids_scopes_alone_gets_these() -> None:
    assert Client("c", None, frozenset({"openid"}), "api").get_allowed_scope(None) == "openid"


@pytest.mark.parametrize(
    ("secret", "is_right"), [("sécret", True), ("secret", False), ("", False), ("\ud800", False), ("sécret ", False)]
)
def test_a_secret_is_compared_whatever_is_in_it(secret: str, is_right: bool) -> None:
    assert SERVICE.check_client_secret(secret) is is_right
    assert not PUBLIC.check_client_secret(secret)


def test_a_public_client_names_itself_and_one_with_a_secret_uses_it() -> None:
    methods = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
    assert [PUBLIC.check_endpoint_auth_method(method, "token") for method in methods] == [True, False, False, False]
    assert [SERVICE.check_endpoint_auth_method(method, "token") for method in methods] == [False, True, True, False]


@pytest.mark.parametrize(
    ("known", "default"),
    [
        (("https://good.com/",), "https://good.com/"),
        (("https://good.com/", "https://good.com/2"), None),
        (("loopback",), None),
        ((), None),
    ],
)
def test_only_one_whole_address_may_be_left_out(known: tuple[str, ...], default: str | None) -> None:
    assert client(*known).get_default_redirect_uri() == default


def test_addresses_for_signing_in_are_none_for_signing_out() -> None:
    assert client("https://good.com/").check_redirect_uri("https://good.com/")
    assert not client("https://good.com/").check_post_logout_redirect_uri("https://good.com/")


def test_of_too_many_that_registered_the_oldest_goes_and_the_known_ones_stay() -> None:
    clients = Clients([SERVICE])
    for number in range(1001):
        clients.register(Client(f"c{number}", None, frozenset({"other"}), "api"))
    assert clients.find("c0") is None
    assert clients.find("c1") is not None
    assert clients.find("svc") is SERVICE
    assert clients.find(None) is None
    # Nobody adds a scope to the server by registering.
    assert clients.scopes == {"read"}


def test_a_registered_client_takes_no_known_ones_place() -> None:
    clients = Clients([SERVICE])
    clients.register(Client("svc", None, frozenset(), "api"))
    assert clients.find("svc") is SERVICE


def test_nothing_that_is_shown_of_it_holds_its_secret() -> None:
    assert "sécret" not in repr(SERVICE)
