"""The upstream counts every request, reads uploads to their end and answers in the sizes that are asked for."""

from __future__ import annotations

import ssl
import urllib.request

import pytest

from benchmarks.issuer import Issuer
from benchmarks.processes import ask
from benchmarks.upstream import DOWNLOADS, UPLOAD_PATH, Upstream
from tests.benchmarks.conftest import needs

pytestmark = needs("nginx")


def test_it_counts_what_reaches_it_and_not_who_asks_for_the_count(api: Upstream) -> None:
    before = api.requests()
    assert api.requests() == api.settled() == before
    for _ in range(3):
        assert ask(api.port, "/orders/1").status == 200
    assert api.settled() == before + 3


@pytest.mark.parametrize(("path", "size"), DOWNLOADS.items())
def test_a_download_has_its_size(api: Upstream, path: str, size: int) -> None:
    assert len(ask(api.port, path).body) == size


def test_an_upload_is_answered_once_all_of_it_is_there_and_counts_once(api: Upstream) -> None:
    before = api.requests()
    answer = ask(api.port, UPLOAD_PATH, method="POST", body=b"x" * 2**20)
    assert answer.status == 200
    assert 2**20 < int(answer.body) < 2**20 + 500  # head and body
    assert api.settled() == before + 1


def test_the_keys_are_published(api: Upstream, issuer: Issuer) -> None:
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(api.jwks_uri, context=anyone) as answer:
        assert answer.read() == issuer.jwks_file.read_bytes()
