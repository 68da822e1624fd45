"""Where the server listens and by which address it may be known."""

from __future__ import annotations

import pytest

from gateway.devauth.addresses import check_issuer, cookie_name, host_of, is_loopback, listener, origin, path_of


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_beyond_loopback_it_listens_for_who_insists_alone(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        listener(host, 0)


def test_who_insists_gets_a_listener() -> None:
    with listener("0.0.0.0", 0, beyond_loopback=True) as listening:
        assert origin(listening).startswith("http://0.0.0.0:")


@pytest.mark.parametrize(
    "issuer",
    [
        "https://login.example.com",
        "https://login.example.com:8443/realms/dev",
        "http://127.0.0.1:9400",
        "http://127.1.2.3:9400",
        "http://[::1]:9400/dev",
        "http://localhost:9400",
    ],
)
def test_these_can_be_issuers(issuer: str) -> None:
    check_issuer(issuer)


@pytest.mark.parametrize(
    ("issuer", "said"),
    [
        ("http://login.example.com", "https"),
        ("http://0.0.0.0:9400", "https"),
        ("http://192.168.0.5:9400", "https"),
        ("http://[::]:9400", "https"),
        ("http://localhost.evil.com", "https"),
        ("http://127.0.0.1.evil.com", "https"),
        ("https://login.example.com/", "nothing more"),
        ("https://login.example.com?x=1", "nothing more"),
        ("https://login.example.com#x", "nothing more"),
        ("https://user@login.example.com", "nothing more"),
        ("https://login.example.com/a//b", "nothing more"),
        ("https://login.example.com\n", "nothing more"),
        ("ftp://login.example.com", "nothing more"),
        ("login.example.com", "nothing more"),
        ("", "nothing more"),
    ],
)
def test_these_cannot_and_plain_http_beyond_loopback_least_of_all(issuer: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_issuer(issuer)


def test_parts_of_an_issuer() -> None:
    assert (host_of("https://A.example.com:1/x"), path_of("https://a.example.com:1/x/y")) == ("a.example.com", "/x/y")
    assert (host_of("http://[::1]:1"), path_of("http://[::1]:1")) == ("[::1]", "")
    assert is_loopback("[::1]")
    assert not is_loopback("example.com")


def test_each_issuer_has_a_cookie_of_its_own() -> None:
    issuers = ("http://127.0.0.1:1", "http://127.0.0.1:2", "https://a.example.com", "https://a.example.com/x")
    names = [cookie_name(issuer) for issuer in issuers]
    assert len(set(names)) == 4
    assert [name.startswith("__Host-") for name in names] == [False, False, True, False]
