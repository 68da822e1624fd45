"""Files of policy tests: what they may say, and what is wrong with one, at its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.test import file
from gateway.config import ConfigError, ConfigUnreadable
from tests.cli.test.suites import configuration, problems, suite

GOOD = """\
tests:
  - name: a reader may not write
    request: {method: POST, url: /orders/t1, headers: {}}
    token: {issuer: corp, claims: {sub: u1, scope: "orders:read", tenant: t1}}
    expect: {status: 403, reason: scope_insufficient}
  - name: everybody may say hello
    request: {url: "https://api.example.com/hello", headers: {X-Twice: [a, b], X-Once: c}, peer: "::1"}
    token: none
    expect: {allow: true, route: hello, upstream: {target: /x, headers: {X-Auth-Subject: null}}}
"""


def test_a_file_is_read_with_the_line_of_each_test(tmp_path: Path) -> None:
    first, second = suite(tmp_path, text=GOOD).cases
    assert (first.where.line, second.where.line) == (2, 6)
    assert first.block.token is not None
    assert first.block.token.claims == {"sub": "u1", "scope": "orders:read", "tenant": "t1"}
    assert second.block.token is None
    assert second.block.request.headers == {"X-Twice": ("a", "b"), "X-Once": ("c",)}
    assert (second.block.request.method, second.block.request.peer) == ("GET", "::1")


def test_unknown_keys_and_wrong_values_are_all_told_with_the_nearest_right_one(tmp_path: Path) -> None:
    text = """\
tests:
  - name: one
    request: {url: api, header: {}, headers: {"a b": x, c: "x\\r\\ny", d: "\\u20ac"}, peer: "1.2.3.4:5"}
    token: {issuer: corp, format: jvt, header: {alg: none}}
    expect: {allow: false, status: 200, reason: scope_insuficient}
  - name: two
    request: {url: /x, method: get}
    token: corp
"""
    assert problems(tmp_path, text) == [
        "3:20: tests[0].request.url: must be an address, or a path that begins with /",
        "3:25: tests[0].request.header: there is no such key; did you mean headers?",
        "3:54: tests[0].request.headers.a b: must be a header field name",
        "3:60: tests[0].request.headers.c: must be a text without line ends, control characters or blanks at its ends",
        "3:73: tests[0].request.headers.d: must be bytes as ISO 8859-1 has them: a field has no other letters "
        "(RFC 9110 §5.5)",
        "3:90: tests[0].request.peer: must be an IP address, without a port",
        "4:35: tests[0].token.format: must be one of jwt or opaque; did you mean jwt?",
        "4:48: tests[0].token.header: may not hold alg: tokens are signed here, with an algorithm that the issuer "
        "allows",
        "5:21: tests[0].expect.allow: must be true; of a refusal say its status, its reason, or both",
        "5:36: tests[0].expect.status: must be that of a refusal, 400 to 599; a request that may pass is `allow: true`",
        "5:49: tests[0].expect.reason: there is no such reason; did you mean scope_insufficient?",
        "6:5: tests[1].expect: is missing",
        "7:32: tests[1].request.method: must be an HTTP method in capitals, such as GET",
        "8:12: tests[1].token: must be none, or a block: {issuer: …, claims: {…}}",
    ]


def test_what_does_not_go_together_or_with_the_configuration_is_told_too(tmp_path: Path) -> None:
    text = """\
tests:
  - name: one
    request: {url: /x}
    token: {issuer: crop}
    expect: {}
  - name: one
    request: {url: /x}
    token: {issuer: corp, format: opaque, active: false}
    expect: {allow: true, status: 403, route: raed}
  - name: three
    request: {url: /x}
    token: {issuer: nothing-like-it}
    expect: {status: 403, upstream: {target: /}, would_refuse: token_missing}
"""
    assert problems(tmp_path, text) == [
        "4:21: tests[0].token.issuer: there is no issuer crop; did you mean corp?",
        "5:13: tests[0].expect: says no verdict: `allow: true`, or the status and the reason of a refusal",
        "6:11: tests[1].name: another test has this name",
        "8:35: tests[1].token.format: issuer corp has no introspection, so no opaque token of it can be good",
        "8:51: tests[1].token.active: issuer corp has no introspection, so nobody would say that",
        "9:35: tests[1].expect.status: belongs to a refusal, and allow says that it is none",
        "9:47: tests[1].expect.route: there is no route raed; did you mean read?",
        "12:21: tests[2].token.issuer: there is no issuer nothing-like-it; there are: corp",
        "13:37: tests[2].expect.upstream: belongs to `allow: true`: a refused request reaches no upstream",
        "13:64: tests[2].expect.would_refuse: belongs to `allow: true`: a refused request reaches no upstream",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty"),
        ("tests: []", "1:8: tests: must not be empty"),
        ("tests: {}", "1:8: tests: must be a list, not a block"),
        ("test: []", "1:1: test: there is no such key; did you mean tests?"),
        ("tests: [{name: a, name: b}]", "1:19: tests[0].name: the key stands here twice; the first is in line 1"),
        ("tests: [", "2:1: not YAML: did not find expected node content"),
    ],
)
def test_a_file_that_holds_no_tests_is_told_where(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        file.load(tmp_path / "policy.yaml", configuration())
    assert f"{tmp_path}/policy.yaml:{problem}" in str(refused.value).splitlines()


def test_a_folder_or_nothing_at_all_can_not_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.yaml"):
        with pytest.raises(ConfigUnreadable):
            file.load(path, configuration())


def test_nothing_of_the_environment_gets_into_a_test(tmp_path: Path) -> None:
    test = {"request": {"url": "/x", "headers": {"X-A": "${HOME}"}}, "expect": {"status": 404}}
    [case] = suite(tmp_path, test).cases
    assert case.block.request.headers == {"X-A": ("${HOME}",)}
