"""The most specific route wins and order never matters, held against a matcher that tries everything."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.router import Pattern, RouteConflict, Router, canonical_template, literal_prefix


def pattern(name: str, path: str, *methods: str, host: str = "") -> Pattern[str]:
    return Pattern(name, (path,), name, (host,) if host else (), methods)


def found(router: Router[str], path: str, method: str = "GET", host: str = "x.example") -> str:
    """The name of the route, or the reason of the refusal with what is allowed."""
    try:
        return router.match(host, path, method).value
    except GatewayError as error:
        return f"{error.reason.name} {' '.join(error.allow)}".strip()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/orders", "rest"),
        ("/orders/", "rest"),
        ("/orders/a", "one"),
        ("/orders/new", "literal"),
        ("/orders/a/b", "rest"),
        ("/orders/a/items", "items"),
        ("/orders/new/items", "items"),
        ("/ordersx", "route_not_found"),
        ("/", "route_not_found"),
    ],
)
def test_a_literal_wins_over_a_parameter_and_that_over_the_rest(path: str, expected: str) -> None:
    router = Router(
        [
            pattern("rest", "/orders/**"),
            pattern("one", "/orders/{id}"),
            pattern("literal", "/orders/new"),
            pattern("items", "/orders/{id}/items"),
        ]
    )
    assert found(router, path) == expected


def test_a_trailing_slash_makes_another_path_and_a_parameter_is_never_empty() -> None:
    router = Router([pattern("plain", "/a"), pattern("slash", "/a/"), pattern("one", "/b/{x}")])
    assert [found(router, path) for path in ("/a", "/a/", "/b/")] == ["plain", "slash", "route_not_found"]


def test_the_asterisk_is_the_whole_server_and_leads_to_no_route() -> None:
    router = Router([pattern("root", "/"), pattern("one", "/{x}"), pattern("rest", "/**")])
    assert found(router, "*", "OPTIONS") == "route_not_found"


def test_the_most_specific_route_that_allows_the_method_is_taken() -> None:
    router = Router([pattern("get", "/a/b", "GET"), pattern("post", "/a/{x}", "POST"), pattern("put", "/a/**", "PUT")])
    assert [found(router, "/a/b", method) for method in ("GET", "HEAD", "POST", "PUT")] == ["get", "get", "post", "put"]
    assert found(router, "/a/b", "DELETE") == "method_not_allowed GET HEAD POST PUT"


def test_head_goes_where_it_is_listed_before_where_get_is() -> None:
    router = Router([pattern("get", "/a", "GET"), pattern("head", "/a", "HEAD"), pattern("any", "/a")])
    assert [found(router, "/a", method) for method in ("GET", "HEAD", "PUT")] == ["get", "head", "any"]


def test_hosts_come_before_paths() -> None:
    router = Router(
        [
            pattern("exact", "/**", host="a.b.example"),
            pattern("near", "/**", host="*.b.example"),
            pattern("far", "/**", host="*.example"),
            pattern("any", "/x/y"),
        ]
    )
    hosts = ("a.b.example", "c.b.example", "c.c.b.example", "b.example", "example", "other")
    assert [found(router, "/x/y", host=host) for host in hosts] == ["exact", "near", "near", "far", "any", "any"]
    assert router.serves("anything")
    assert not Router([pattern("a", "/", host="a.example")]).serves("b.example")


def test_parameters_are_given_as_sent_and_decoded() -> None:
    match = Router([pattern("r", "/{a}/x/{rest:**}")]).match("h", "/caf%C3%A9/x/b%2Fc/d/", "GET")
    assert match.segments == {"a": "caf%C3%A9", "rest": "b%2Fc/d/"}
    assert match.parameters == {"a": "café", "rest": "b/c/d/"}


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (pattern("1", "/a/{x}"), pattern("2", "/a/{y}"), True),
        (pattern("1", "/a", "GET"), pattern("2", "/a", "GET", "POST"), True),
        (pattern("1", "/a", "GET"), pattern("2", "/a", "HEAD"), False),
        (pattern("1", "/a", "GET"), pattern("2", "/a"), False),
        (pattern("1", "/a/**"), pattern("2", "/a/{rest:**}"), True),
        (pattern("1", "/a/{x}"), pattern("2", "/{x}/b"), False),
        (pattern("1", "/a", host="x.example"), pattern("2", "/a", host="X.example."), True),
        (pattern("1", "/a", host="x.example"), pattern("2", "/a", host="*.example"), False),
    ],
)
def test_two_equally_good_routes_are_refused(first: Pattern[str], second: Pattern[str], conflict: bool) -> None:
    pairs: tuple[tuple[str, str], ...] = ()
    try:
        Router([first, second])
    except RouteConflict as refused:
        pairs = refused.pairs
    assert pairs == ((("1", "2"),) if conflict else ())


def calls_to_match(routes: int) -> int:
    """How many function calls one match takes with so many routes."""
    router = Router([pattern(f"r{n}", f"/service-{n}/{{tenant}}/items", "GET") for n in range(routes)])
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        router.match("h", f"/service-{routes - 1}/t/items", "GET")
    finally:
        sys.setprofile(None)
    return calls


def test_the_cost_does_not_grow_with_the_number_of_routes() -> None:
    assert calls_to_match(10_000) == calls_to_match(10)


def test_a_path_of_thousands_of_segments_is_matched_without_recursion_trouble() -> None:
    router = Router([pattern("rest", "/a/**"), pattern("deep", "/a/{b}/{c}/{d}")])
    assert found(router, "/a" + "/x" * 4000) == "rest"


@pytest.mark.parametrize(
    ("path", "expected"), [("/%61/{x}", "/a/{x}"), ("/%7e%c3%a9/**", "/~%C3%A9/**"), ("/a/{r:**}", "/a/{r:**}")]
)
def test_the_paths_of_routes_are_brought_to_the_same_form(path: str, expected: str) -> None:
    assert canonical_template(path) == expected


@pytest.mark.parametrize(
    ("path", "prefix"), [("/**", ""), ("/", ""), ("/a/{x}/b", "/a"), ("/a/b", "/a/b"), ("/a/b/", "/a/b"), ("/{x}", "")]
)
def test_the_literal_prefix_ends_at_the_first_variable(path: str, prefix: str) -> None:
    assert literal_prefix(path) == prefix


# --- a matcher that tries everything -------------------------------------------------------------------------------

segments = st.sampled_from(["a", "b", "{x}"])
templates = st.builds(
    lambda parts, rest: "/" + "/".join([*parts, *(["**"] if rest else [])]),
    st.lists(segments, max_size=3),
    st.booleans(),
)
hosts = st.sampled_from(["", "h.e", "*.e", "*.h.e"])
method_sets = st.sampled_from([(), ("GET",), ("POST",), ("HEAD",), ("GET", "POST")])
tables = st.lists(st.tuples(templates, hosts, method_sets), min_size=1, max_size=6)


def path_rank(template: str, path: str) -> tuple[int, ...] | None:
    """How specific a template is for a path, lower is better; None when it does not match."""
    rank: list[int] = []
    wanted, given_ = template[1:].split("/"), path[1:].split("/")
    for index, part in enumerate(wanted):
        if part == "**":
            return (*rank, 2)
        if index >= len(given_) or (part == "{x}" and not given_[index]) or part not in ("{x}", given_[index]):
            return None
        rank.append(1 if part == "{x}" else 0)
    return tuple(rank) if len(wanted) == len(given_) else None


def host_rank(wanted: str, host: str) -> int | None:
    if not wanted:
        return 100
    if wanted.startswith("*."):
        return 50 - wanted.count(".") if host.endswith(wanted[1:]) and host != wanted[2:] else None
    return 0 if wanted == host else None


def method_rank(methods: tuple[str, ...], method: str) -> int | None:
    if not methods:
        return 2
    if method in methods:
        return 0
    return 1 if method == "HEAD" and "GET" in methods else None


def expected(table: list[tuple[str, str, tuple[str, ...]]], host: str, path: str, method: str) -> str:
    ranked, allowed = [], set()
    for index, (template, wanted, methods) in enumerate(table):
        where, how = host_rank(wanted, host), path_rank(template, path)
        if where is None or how is None:
            continue
        allowed |= {*methods, *({"HEAD"} if "GET" in methods else ())}
        what = method_rank(methods, method)
        if what is not None:
            ranked.append(((where, how, what), str(index)))
    if ranked:
        return min(ranked)[1]
    return f"method_not_allowed {' '.join(sorted(allowed))}" if allowed else "route_not_found"


@settings(max_examples=400, deadline=None)
@given(
    tables,
    st.sampled_from(["h.e", "x.h.e", "x.e", "e", "z"]),
    st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
)
def test_the_trie_finds_what_trying_everything_finds(
    table: list[tuple[str, str, tuple[str, ...]]], host: str, path: str, method: str
) -> None:
    same_place = sorted((wanted, template) for template, wanted, _ in table)
    patterns = [Pattern(str(n), (path_,), str(n), (h,) if h else (), m) for n, (path_, h, m) in enumerate(table)]
    try:
        router = Router(patterns)
    except RouteConflict:
        assert any(one == other for one, other in pairwise(same_place))
        return
    assert found(router, path, method, host) == expected(table, host, path, method)
