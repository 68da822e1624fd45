"""Every server that is compared starts, forwards what is good and refuses what is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.issuer import Issuer
from benchmarks.peers import OTHERS
from benchmarks.processes import StartError
from benchmarks.requests import Request
from benchmarks.scenarios import prefixes
from benchmarks.servers.gateway import gateway
from benchmarks.servers.nginx import NGINX
from benchmarks.servers.peer import Peer, Setting, status_of
from benchmarks.upstream import UPLOAD_PATH, Upstream
from tests.benchmarks.conftest import CORES, needs

pytestmark = needs("nginx")

PEERS = [
    pytest.param(peer, id=peer.key, marks=pytest.mark.skipif(peer.program() is None, reason=f"{peer.name} is missing"))
    for peer in (*OTHERS, gateway())
]


def setting(folder: Path, api: Upstream, issuer: Issuer, routes: int = 1) -> Setting:
    home = folder / "server"
    home.mkdir()
    return Setting(home, CORES, api.port, api.jwks_uri, issuer, prefixes(routes))


@pytest.mark.parametrize("peer", PEERS)
def test_it_forwards_what_is_good_and_refuses_what_is_not(
    tmp_path: Path, api: Upstream, issuer: Issuer, peer: Peer
) -> None:
    place = setting(tmp_path, api, issuer)
    with peer.start(place):
        good = [issuer.token(), issuer.token("ES256")]
        assert [status_of(place.port, Request(token=token)) for token in good] == [200, 200]
        assert status_of(place.port, Request(UPLOAD_PATH, good[0], body=100_000)) == 200
        before = api.requests()
        refused = [status_of(place.port, Request(token=token)) for token in ("", *issuer.badly_signed(1))]
        assert refused == ([401, 401] if peer.checks_tokens else [200, 200])
        assert api.settled() - before == (0 if peer.checks_tokens else 2)


@pytest.mark.parametrize("peer", PEERS)
def test_each_of_many_routes_is_forwarded_and_no_other_path(
    tmp_path: Path, api: Upstream, issuer: Issuer, peer: Peer
) -> None:
    place = setting(tmp_path, api, issuer, routes=50)
    token = issuer.token()
    with peer.start(place):
        for prefix in place.prefixes:
            assert status_of(place.port, Request(f"{prefix}42", token)) == 200
        before = api.requests()
        assert status_of(place.port, Request("/service-50/orders/42", token)) == 404
        assert api.settled() == before


def test_a_server_that_lets_bad_tokens_pass_is_not_measured(tmp_path: Path, api: Upstream, issuer: Issuer) -> None:
    blind = dataclasses.replace(NGINX, checks_tokens=True)
    with (
        pytest.raises(StartError, match="nginx, no check answers 200 to no token"),
        blind.start(setting(tmp_path, api, issuer)),
    ):
        pass


def test_a_server_that_ends_is_reported_with_its_words(tmp_path: Path, api: Upstream, issuer: Issuer) -> None:
    broken = dataclasses.replace(NGINX, command=lambda _: ["sh", "-c", "echo no such luck; exit 3"])
    with pytest.raises(StartError, match="ended:\nno such luck"), broken.start(setting(tmp_path, api, issuer)):
        pass


@pytest.mark.parametrize("peer", PEERS)
def test_it_says_its_version(peer: Peer) -> None:
    assert any(character.isdigit() for character in peer.version())
