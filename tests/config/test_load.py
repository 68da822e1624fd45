"""From YAML and the environment to a configuration, or to every problem with its place."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import build
from gateway.config import Config, ConfigError, ConfigUnreadable, load, parse, schema
from gateway.config.conditions import Condition, PathParameter
from gateway.config.source import read

EXAMPLES = Path(__file__).parent.parent.parent / "config"
BASE = """\
issuers:
  corp:
    issuer: https://login.example.com
    audience: orders-api
upstreams:
  orders:
    url: http://127.0.0.1:9000
routes:
  - path: /orders/{tenant}
    upstream: orders
"""


def write(folder: Path, text: str, name: str = "gateway.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """The problems of a text, without the folder's name."""
    with pytest.raises(ConfigError) as refused:
        load(write(folder, text), environ or {})
    return [str(problem).removeprefix(f"{folder}/") for problem in refused.value.problems]


@pytest.mark.parametrize("name", ["minimal.yaml", "gateway.yaml", "full.yaml"])
def test_the_examples_are_good_and_fit_the_schema(name: str) -> None:
    assert build.problems(load(EXAMPLES / name, {})) == ()
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(read(EXAMPLES / name).data, schema())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("upstreams:", "upstrems:", "5:1: upstrems: there is no such key; did you mean upstreams?"),
        ("url: http", "ulr: http", "7:5: upstreams.orders.ulr: there is no such key; did you mean url?"),
        ("path: /orders/{tenant}", "pth: /x", "9:5: routes[0].pth: there is no such key; did you mean path?"),
        ("path: /orders/{tenant}", "name: x", "9:5: routes[0].path: is missing"),
        ("    audience: orders-api\n", "", "3:5: issuers.corp.audience: is missing"),
        ("orders-api", "[any, x]", "4:15: issuers.corp.audience: `any` stands alone"),
        (
            "upstream: orders",
            "upstream: order",
            "10:15: routes[0].upstream: there is no upstream order; did you mean orders?",
        ),
        ("upstream: orders", "public: yes", "10:13: routes[0].public: must be true or false, not a text"),
        (
            "http://127.0.0.1:9000",
            "127.0.0.1:9000",
            "7:10: upstreams.orders.url: must be an http:// or https:// address",
        ),
        (
            "http://127.0.0.1:9000",
            "http://u:p@h/",
            "7:10: upstreams.orders.url: must not hold a user name or a password",
        ),
        (
            "https://login",
            "http://login",
            "3:13: issuers.corp.issuer: is http:// beyond this machine: use https://, or set allow_http: true",
        ),
        ("/orders/{tenant}", "orders", "9:11: routes[0].path: must begin with /"),
        ("/orders/{tenant}", "/a/{x}/{x}", "9:11: routes[0].path: two parameters have the same name"),
        ("/orders/{tenant}", "/_gateway/x", "9:11: routes[0].path: /_gateway/ is the gateway's own"),
        (
            "audience: orders-api",
            "audience: 7",
            "4:15: issuers.corp.audience: must be a text, not a number (put it in quotes)",
        ),
    ],
)
def test_a_mistake_is_named_at_its_place_with_the_nearest_right_name(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert f"gateway.yaml:{expected}" in problems(tmp_path, BASE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("require: {scopes: 5}", "routes[0].require.scopes: must be a text, not a number (put it in quotes)"),
        ("require: {scopes: [a b]}", "must be one scope"),
        ("require: {scope: [a]}", "routes[0].require.scope: there is no such key; did you mean scopes?"),
        ("require: {claims: {a: {equal: 1}}}", "there is no operator equal; did you mean equals?"),
        ("require: {claims: {a: {matches: '('}}}", "matches is no regular expression"),
        ("require: {claims: {a: {exists: 1}}}", "exists must be true or false, not a number"),
        ("require: {claims: {a: []}}", "must be a list with something in it"),
        ("require: {claims: {a: {}}}", "needs an operator"),
        ("require: {claims: {a: '{tenent}'}}", "has no parameter {tenent}; did you mean tenant?"),
        ("require: {claims: {a: {not: {contains: '{x}'}}}}", "has no parameter {x}"),
        ("require: {issuers: [crop]}", "routes[0].require.issuers[0]: there is no issuer crop; did you mean corp?"),
        ("public: true\n    require: {scopes: [a]}", "has no meaning on a public route"),
        ("public: true\n    token: optional", "has no meaning on a public route"),
        ("respond: {status: 200}", "needs either upstream or respond"),
        ("rewrite: /x/{y}", "has no parameter {y}"),
        ("rewrite: /x\n    strip_prefix: /orders", "exclude each other"),
        ("strip_prefix: /other", "does not begin with it"),
        ("methods: [get]", "must be an HTTP method in capitals"),
        ("methods: [CONNECT]", "CONNECT is never forwarded"),
        ("identity: {Host: sub}", "is a field the gateway sets itself"),
        ("identity: x", "must be x-auth, oauth2-proxy, none"),
        ("identity: {'a b': sub}", "must be a header field name"),
        ('request_headers: {set: {X: "a\\nb"}}', "must be a text without line ends"),
        ("timeout: 0s", "routes[0].timeout: must be longer than nothing"),
        ("timeout: 30", "must be a duration such as 500ms, 30s, 5m or 1h30m, not a number without a unit: 30s?"),
        ("max_body: 10MB", "must be a size such as 16KiB"),
        ("host: a_b c", "must be a host name"),
        ("authorization: drop", "must be one of strip or keep"),
        (
            "rate_limit: {requests: 1, per: 1m, by: subjct}",
            "routes[0].rate_limit.by: must be one of ip, subject, client_id, issuer, route or claim:<name>;"
            " did you mean subject?",
        ),
        ("rate_limit: {requests: 1, per: 0s}", "routes[0].rate_limit.per: must be longer than nothing"),
        (
            "public: true\n    rate_limit: {requests: 1, per: 1m, by: subject}",
            "routes[0].rate_limit.by: on a public route nobody is known: use ip or route",
        ),
        (
            "cors: {origins: ['*'], credentials: true}",
            "routes[0].cors.origins[0]: * and credentials exclude each other",
        ),
        (
            "cors: {origins: ['https://app.example.com/']}",
            "routes[0].cors.origins[0]: must be an origin such as https://app.example.com, without a path; or *",
        ),
        ("require: {acr: [gold]}", "routes[0].require.acr: not supported yet"),
        ("require: {proof: dpop}", "routes[0].require.proof: not supported yet"),
        (
            "require: {introspect: true}",
            "routes[0].require.introspect: issuer corp has no introspection; give it an introspection block",
        ),
    ],
)
def test_each_rule_of_a_route_is_checked(tmp_path: Path, line: str, message: str) -> None:
    found = problems(tmp_path, f"{BASE}    {line}\n")
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("tls: {certificate: x}", "tls.private_key: is missing"),
        ("tls: {private_key: x}", "tls.certificate: is missing"),
        (
            "tls: {certificate: x, private_key: x, client_certificate: optional}",
            "tls.client_ca: is missing; client_certificate: optional needs it",
        ),
        ("tls: {certificate: x, private_key: x, client_ca: x}", "tls.client_ca: has no meaning"),
        ("redis: {}", "redis.url: is missing"),
        ("redis: {url: 'redis://h', secret: short}", "redis.secret: must have 32 bytes at the least"),
        (
            f"redis: {{url: 'redis://h', secret: [{'x' * 32}, short]}}",
            "redis.secret[1]: must have 32 bytes at the least",
        ),
        ("trusted_proxies: [0.0.0.0/0]", "trusts everyone"),
        ("trusted_proxies: ['::/0']", "trusts everyone"),
        ("trusted_proxies: [10.0.0.1/8]", "must be a network"),
        ("listen: 8080", "must be an address"),
        ("listen: 127.0.0.1:9090", "must not be the traffic port"),
        ("limits: {headers: 0}", "must be at least 1"),
        ("log: {level: loud}", "must be one of debug, info, warning or error"),
        ("errors: {format: xml}", "must be one of problem or oauth"),
        ("external_url: https://a/?x", "must have neither ? nor #"),
        ("timeouts: {idle: -1s}", "must be a duration"),
    ],
)
def test_each_rule_of_the_other_blocks_is_checked(tmp_path: Path, block: str, message: str) -> None:
    found = problems(tmp_path, f"{BASE}{block}\n")
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("jwks_uri: https://a/\n    jwks_file: /x", "the keys come from jwks_uri already"),
        ("secret: short\n    algorithms: [HS256]", "must have 32 bytes at the least"),
        (f"secret: {'s' * 32}", "goes with HS256, HS384 or HS512 alone"),
        ("algorithms: [RS256, HS256]", "HS256 needs secret"),
        ("algorithms: [none]", "must be one of RS256"),
        ("algorithms: []", "must not be empty"),
        ("leeway: 6m", "must be at most 300"),
        ("introspection: {client_secret: a}", "introspection.client_id: is missing; client_secret_basic needs it"),
        ("introspection: {client_id: a}", "introspection.client_secret: is missing; client_secret_basic needs it"),
        (
            "introspection: {client_id: a, client_auth: private_key_jwt}",
            "introspection.client_key: is missing; private_key_jwt needs it",
        ),
        (
            "introspection: {client_id: a, client_auth: tls_client_auth}",
            "introspection.client_auth: tls_client_auth needs the issuer's tls.certificate and tls.private_key",
        ),
        (
            "introspection: {client_id: a, client_secret: b, client_key: c}",
            "introspection.client_key: has no meaning with client_auth: client_secret_basic",
        ),
        (
            "introspection: {client_id: a, client_secret: b, client_key_id: c}",
            "introspection.client_key_id: has no meaning with client_auth: client_secret_basic",
        ),
        (
            "introspection: {client_id: a, client_secret: short, client_auth: client_secret_jwt}",
            "introspection.client_secret: must have 32 bytes at the least to sign with (RFC 7518 §3.2)",
        ),
        (
            "introspection: {client_id: a, client_secret: b, endpoint: 'http://as.example/i'}",
            "introspection.endpoint: is http:// beyond this machine: use https://, or set allow_http: true",
        ),
        ("tls: {certificate: x}", "tls: certificate and private_key go together"),
        ("keys: {store: redis}", "keys.store: redis is not configured"),
        ("keys: {store: somewhere}", "keys.store: must be `redis`, or a folder that begins with /, ./ or ../"),
    ],
)
def test_each_rule_of_an_issuer_is_checked(tmp_path: Path, keys: str, message: str) -> None:
    found = problems(tmp_path, BASE.replace("    audience: orders-api\n", f"    audience: orders-api\n    {keys}\n"))
    assert any(message in problem for problem in found), found
    assert not any("s" * 32 in problem for problem in found)


def test_the_time_in_which_failures_are_counted_is_longer_than_nothing(tmp_path: Path) -> None:
    found = problems(tmp_path, f"{BASE}limits:\n  failed_authentication: {{requests: 3, per: 0s}}\n")
    assert len(found) == 1
    assert found[0].endswith("limits.failed_authentication.per: must be longer than nothing")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("urls: [http://b]", "orders: needs either url or urls"),
        ("balance: fair", "orders.balance: must be round_robin, least_requests, random or hash:<header or claim>"),
        ("balance: 'hash:'", "orders.balance: must be"),
        ("balance: least_request", "did you mean least_requests"),
        ("health: {path: healthz}", "orders.health.path: must be a path that begins with /"),
        ("health: {path: '/a b'}", "orders.health.path: must be a path that begins with /"),
        ("health: {interval: 0s}", "orders.health.interval: must be longer than nothing"),
        ("health: {timeout: 0s}", "orders.health.timeout: must be longer than nothing"),
        ("health: {status: [399-200]}", "orders.health.status: must be a status such as 200"),
        ("health: {status: ok}", "orders.health.status: must be a status such as 200"),
        ("timeouts: {connect: 0s}", "orders.timeouts.connect: must be longer than nothing"),
        ("timeouts: {response: 0s}", "orders.timeouts.response: must be longer than nothing"),
        ("timeouts: {idle: 0s}", "orders.timeouts.idle: must be longer than nothing"),
        ("ejection: {for: 0s}", "orders.ejection.for: must be longer than nothing"),
        ("ejection: {failures: 0}", "orders.ejection.failures: must be at least 1"),
        ("retry: {on: [connect, 500]}", "orders.retry.on[1]: must be one of connect, disconnect, timeout"),
        ("retry: {budget: 1.5}", "orders.retry.budget: must be at most 1"),
        ("retry: {methods: [get]}", "orders.retry.methods: must be an HTTP method in capitals"),
        ("tls: {}", "orders.tls: has no meaning: no address is https://"),
    ],
)
def test_each_rule_of_an_upstream_is_checked(tmp_path: Path, more: str, message: str) -> None:
    found = problems(tmp_path, BASE.replace("    url: http://127.0.0.1:9000\n", f"    url: http://a\n    {more}\n"))
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("urls: []", "orders.urls: must not be an empty list"),
        ("urls: http://a", "orders.urls: must be a list of addresses, not a text"),
        ("urls: [http://a, http://b, http://a]", "orders.urls[2]: http://a is there already; give it a weight instead"),
        ("urls: [http://a/x, http://b/y]", "orders.urls: must all have the same base path"),
        ("urls: [{url: http://a, weight: 0}]", "orders.urls[0].weight: must be at least 1"),
        ("urls: [https://a]\n    tls: {certificate: x}", "orders.tls: certificate and private_key go together"),
        ("urls: [https://a]\n    tls: {ca: x, verify: false}", "orders.tls.ca: has no meaning with verify: false"),
    ],
)
def test_each_rule_of_several_addresses_is_checked(tmp_path: Path, more: str, message: str) -> None:
    found = problems(tmp_path, BASE.replace("    url: http://127.0.0.1:9000\n", f"    {more}\n"))
    assert any(message in problem for problem in found), found


def test_an_upstream_may_say_everything_at_once(tmp_path: Path) -> None:
    more = """urls: [http://a:1/x, {url: https://b/x, weight: 3}]
    balance: hash:X-Session
    health: {status: [200, 300-399]}
    ejection: {}
    retry: {on: [connect, 503], methods: GET}
    tls: {verify: false}"""
    config = load(write(tmp_path, BASE.replace("    url: http://127.0.0.1:9000\n", f"    {more}\n")), {})
    upstream = config.upstreams["orders"]
    assert [(endpoint.url, endpoint.weight) for endpoint in upstream.endpoints] == [
        ("http://a:1/x", 1),
        ("https://b/x", 3),
    ]
    assert (upstream.hash_key, upstream.health and upstream.health.status) == ("X-Session", ((200, 200), (300, 399)))
    assert upstream.retry is not None
    assert upstream.retry.on == ("connect", "503")
    assert build.problems(config) == ()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"{BASE}tls: {{certificate: /none, private_key: /none}}\n", "tls"),
        (
            BASE.replace("url: http://127.0.0.1:9000\n", "url: https://a\n    tls: {ca: /none}\n"),
            "upstreams.orders.tls",
        ),
    ],
)
def test_a_certificate_that_can_not_be_used_is_a_problem(tmp_path: Path, text: str, place: str) -> None:
    found = [str(problem) for problem in build.problems(load(write(tmp_path, text), {}))]
    assert len(found) == 1
    assert found[0].endswith(f"{place}: can't be used: No such file or directory")


def test_introspection_that_is_off_is_fine(tmp_path: Path) -> None:
    text = BASE.replace("orders-api\n", "orders-api\n    introspection: {mode: never}\n", 1)
    assert load(write(tmp_path, text), {}).issuers["corp"].introspection is not None


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
listen: 8080
issuers:
  corp: {isuer: x, audience: [a]}
upstreams:
  orders: {}
routes:
  - {path: /a, upstream: ordes, public: maybe}
  - {path: /b, upstream: orders, cors: {origins: [x]}, require: {issuers: [crop]}}
"""
    places = [problem.split(": ")[1] for problem in problems(tmp_path, text)]
    assert places == [
        "listen",
        "issuers.corp.issuer",
        "issuers.corp.isuer",
        "upstreams.orders",
        "routes[0].upstream",
        "routes[0].public",
        "routes[1].cors.origins[0]",
        "routes[1].require.issuers[0]",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("- a", "the file must hold keys and values"),
        ("a: [", "not YAML"),
        ("a: \t- b\n\tc", "not YAML"),
        ("a: \x00", "not YAML"),
        ("listen: a:1\nlisten: a:2", "the key stands here twice; the first is in line 1"),
        ("? [a]\n: b", "a key must be a text"),
        ("a: &a [*a]", "nested or repeated too often"),
        ("[" * 200 + "]" * 200, "nested or repeated too often"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{c}: &{c} [{','.join([f'*{p}'] * 10)}]\n" for p, c in zip("abcde", "bcdef", strict=True)),
            "nested or repeated",
        ),
    ],
)
def test_what_is_no_configuration_is_refused_in_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    found = problems(tmp_path, text)
    assert message in found[0]


def test_a_file_that_can_not_be_read_is_told_from_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    for path in (tmp_path / "absent.yaml", tmp_path / "latin.yaml", tmp_path):
        with pytest.raises(ConfigUnreadable):
            load(path, {})


def test_scalars_are_read_as_yaml_1_2_has_them() -> None:
    from gateway.config.source import resolve

    texts = ["on", "yes", "No", "12:30", "0x1F", "1_000", "2026-01-01", "0.0.0.0:8080", "nan", ".inf"]
    assert [resolve(text) for text in texts] == texts
    assert [resolve(text) for text in ("true", "False", "~", "", "7", "-1", "1.5", "1e3")] == [
        True,
        False,
        None,
        None,
        7,
        -1,
        1.5,
        1000.0,
    ]


def test_a_folder_is_merged_and_its_routes_appended(tmp_path: Path) -> None:
    write(tmp_path, BASE, "a.yaml")
    write(tmp_path, "upstreams:\n  more: {url: 'http://b'}\nroutes:\n  - {path: /b, upstream: more}\n", "b.yaml")
    config = load(tmp_path, {})
    assert [route.title for route in config.routes] == ["/orders/{tenant}", "/b"]
    assert set(config.upstreams) == {"orders", "more"}
    assert config.places.where(("routes", 1, "path")) == f"{tmp_path}/b.yaml:4"
    write(tmp_path, "upstreams:\n  orders: {url: 'http://c'}\n", "c.yaml")
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, {})
    assert (
        str(refused.value)
        == f"{tmp_path}/c.yaml:2:12: upstreams.orders.url: the key stands in {tmp_path}/a.yaml:7 already"
    )


def test_the_file_is_found_by_option_then_environment_then_default(tmp_path: Path) -> None:
    named, other = write(tmp_path, BASE), write(tmp_path, BASE.replace("orders-api", "other"), "o.yaml")
    environ = {"OAUTH_GATEWAY_CONFIG": str(other)}
    assert load(named, environ).issuers["corp"].audience == ("orders-api",)
    assert load(None, environ).issuers["corp"].audience == ("other",)


@pytest.mark.parametrize(
    ("value", "environ", "expected"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("a-${A}-b", {"A": "x"}, "a-x-b"),
        ("${A:-y}", {}, "y"),
        ("${A:-y}", {"A": ""}, "y"),
        ("${A:-}z", {}, "z"),
        ("$${A}", {}, "${A}"),
        ("$A", {"A": "x"}, "$A"),
    ],
)
def test_references_are_replaced_inside_values(
    tmp_path: Path, value: str, environ: dict[str, str], expected: str
) -> None:
    text = BASE.replace("audience: orders-api", f"audience: '{value}'")
    assert load(write(tmp_path, text), environ).issuers["corp"].audience == (expected,)


def test_a_reference_without_quotes_is_read_like_yaml(tmp_path: Path) -> None:
    text = f"{BASE}limits:\n  headers: ${{N}}\nerrors:\n  expose_reason: ${{B:-false}}\n"
    config = load(write(tmp_path, text), {"N": "7"})
    assert (config.limits.headers, config.errors.expose_reason) == (7, False)


def test_a_reference_to_a_file_gives_its_content_without_the_line_end(tmp_path: Path) -> None:
    secret = write(tmp_path, "x" * 32 + "\n", "secret")
    text = BASE.replace("orders-api", f"orders-api\n    secret: ${{file:{secret}}}\n    algorithms: [HS256]", 1)
    issuer = load(write(tmp_path, text), {}).issuers["corp"]
    assert issuer.secret is not None
    assert issuer.secret.get_secret_value() == "x" * 32
    assert "xxx" not in repr(issuer)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${A}", "the environment variable A is not set, and there is no default (${A:-…})"),
        ("${a b}", "a reference is ${NAME}"),
        ("${file:/proc/nowhere}", "the file /proc/nowhere can't be read: No such file or directory"),
    ],
)
def test_a_reference_that_leads_nowhere_is_a_problem_at_its_place(tmp_path: Path, value: str, message: str) -> None:
    (found,) = problems(tmp_path, BASE.replace("orders-api", f"'{value}'"))
    assert found.startswith(f"gateway.yaml:4:15: issuers.corp.audience: {message}")


def test_every_scalar_can_be_overridden_by_the_environment(tmp_path: Path) -> None:
    text = BASE.replace("orders:\n", "my-orders:\n").replace("upstream: orders", "upstream: my-orders")
    environ = {
        "OAUTH_GATEWAY__ADMIN__LISTEN": "127.0.0.1:1",
        "OAUTH_GATEWAY__ISSUERS__CORP__KEYS__REFRESH": "5m",
        "OAUTH_GATEWAY__UPSTREAMS__MY_ORDERS__MAX_CONNECTIONS": "3",
        "OAUTH_GATEWAY__ROUTES__0__PATH": "/other",
        "OAUTH_GATEWAY__LOG__ACCESS": "false",
    }
    config = load(write(tmp_path, text), environ)
    assert config.admin.listen == "127.0.0.1:1"
    assert config.issuers["corp"].keys.refresh == 300
    assert config.upstreams["my-orders"].max_connections == 3
    assert config.routes[0].path == ("/other",)
    assert config.log.access is False


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("OAUTH_GATEWAY__ADMN__LISTEN", "x", "there is no key admn; did you mean admin?"),
        ("OAUTH_GATEWAY__ROUTES__7__PATH", "/x", "there is no list element 7; the list has 1"),
        ("OAUTH_GATEWAY__LIMITS__HEADERS", "many", "limits.headers: must be a number, not a text"),
        ("OAUTH_GATEWAY__LISTEN__X", "1", "there is no key x"),
    ],
)
def test_an_override_that_fits_nothing_names_its_variable(
    tmp_path: Path, variable: str, value: str, message: str
) -> None:
    (found,) = problems(tmp_path, BASE, {variable: value})
    assert found.startswith(f"environment variable {variable}: ")
    assert message in found


def test_a_route_keeps_what_the_defaults_say_and_it_does_not(tmp_path: Path) -> None:
    text = BASE.replace("routes:", "route_defaults:\n  timeout: 7s\n  require: {scopes: [a], issuers: [corp]}\nroutes:")
    config = load(write(tmp_path, f"{text}    require: {{scopes: [b]}}\n"), {})
    assert (config.routes[0].timeout, config.routes[0].require.scopes) == (7, ("b",))
    assert config.routes[0].require.issuers == ("corp",)
    assert config.places.where(("routes", 0, "timeout")).endswith(":9")


def test_conditions_are_brought_to_one_form(tmp_path: Path) -> None:
    claims = "{a: 1, b: [x, true], c: '{tenant}', d: {not: {contains: y}}, e: {matches: 'a+', exists: true}}"
    require = load(write(tmp_path, f"{BASE}    require: {{claims: {claims}}}\n"), {}).routes[0].require
    assert require.claims == {
        "a": Condition((("equals", 1),)),
        "b": Condition((("one_of", ("x", True)),)),
        "c": Condition((("equals", PathParameter("tenant")),)),
        "d": Condition((("not", Condition((("contains", "y"),))),)),
        "e": Condition((("matches", "a+"), ("exists", True))),
    }


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        (
            "  - {name: a, path: '/x/{y}', upstream: orders}\n  - {name: b, path: '/x/{z}', upstream: orders}\n",
            "b and a match the same requests equally well",
        ),
        (
            "  - {name: a, path: /x, upstream: orders}\n  - {name: b, path: '/%78', upstream: orders}\n",
            "b and a match the same requests equally well",
        ),
        ("  - {name: a, path: /x/../y, upstream: orders}\n", "is refused in requests: a `.` or `..` segment"),
        ("  - {name: a, path: /x, upstream: orders, strip_prefix: '/%zz'}\n", "strip_prefix"),
    ],
)
def test_what_only_shows_when_the_parts_are_joined_is_a_problem_too(tmp_path: Path, routes: str, message: str) -> None:
    text = BASE[: BASE.index("routes:")] + "routes:\n" + routes
    try:
        found = [str(problem) for problem in build.problems(load(write(tmp_path, text), {}))]
    except ConfigError as error:
        found = [str(problem) for problem in error.problems]
    assert any(message in problem for problem in found), found


def test_keys_that_can_not_be_used_are_a_problem_at_their_place(tmp_path: Path) -> None:
    for keys in ("jwks_file: /nowhere", "jwks: {keys: []}", "jwks: {}"):
        config = load(write(tmp_path, BASE.replace("orders-api", f"orders-api\n    {keys}", 1)), {})
        (found,) = build.problems(config)
        assert str(found).startswith(f"{tmp_path}/gateway.yaml:5:")
        assert "can't be used" in found.message


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    good = yaml.safe_load(BASE)
    validator = jsonschema.Draft202012Validator(schema())
    assert validator.is_valid(good)
    assert validator.is_valid({**good, "limits": {"headers": "${N}"}, "workers": "${W}"})
    for bad in (
        {"listn": 1},
        {"limits": {"headers": "many"}},
        {"errors": {"format": "xml"}},
        {"timeouts": {"idle": "soon"}},
    ):
        assert not validator.is_valid({**good, **bad})
    json.dumps(schema())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 99999) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*Config.model_fields, "other"]), json_values, max_size=4))
def test_any_values_give_a_configuration_or_a_list_of_problems(changes: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        assert parse({**yaml.safe_load(BASE), **changes}).routes


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`?, \n\t0$", max_size=60))
def test_any_text_is_a_configuration_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load(file, {})


def test_the_time_to_load_and_build_grows_with_the_number_of_routes_and_no_faster(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        head, _, _ = BASE.partition("routes:")
        routes = "".join(f"  - {{path: '/service-{n}/orders/{{id}}'}}\n" for n in range(count))
        file = write(
            tmp_path, f"{head}route_defaults: {{upstream: orders, require: {{scopes: [a]}}}}\nroutes:\n{routes}"
        )
        start = time.process_time()
        assert build.problems(load(file, {})) == ()
        return time.process_time() - start

    # Eight times the routes: about eight times as long, where each route looked at all others it would be 64 times.
    few = min(seconds(500) for _ in range(2))
    assert seconds(4000) < 24 * few
