"""What was seen, as HTML: everything is text, tokens are short, and a decision points to its line."""

from __future__ import annotations

import html
import re
from pathlib import Path

from gateway.demo.seen import Decoded, Exchange, Link, Returned, Shortened, Unanswered
from gateway.demo.story import ASKS_API, Expected
from gateway.demo.view import View, paragraphs, sentence
from gateway.demo.wire import Message, Sent
from gateway.explanation import Explanation, UpstreamRequest
from gateway.record import Step

TOKEN = "eyJ" + "a" * 60
EVIL = "<script>alert('&')</script>"
VIEW = View({TOKEN: "access token"}, Path("/tmp/x/gateway.yaml"))


def exchange(
    status: int = 200, body: str = "{}", expected: Expected | None = None, explanation: Explanation | None = None
) -> Exchange:
    request = Message("POST /orders?a=1&b=2 HTTP/1.1", (("Authorization", f"Bearer {TOKEN}"), ("X", EVIL)), EVIL)
    response = Message(f"HTTP/1.1 {status} {EVIL}", (("X", EVIL),), body)
    return Exchange(EVIL, ASKS_API, Sent(request, response, status), expected, {"token": TOKEN}, explanation)


def explanation(*, allowed: bool) -> Explanation:
    steps = (Step("route", True, EVIL, "/tmp/x/gateway.yaml:12"), Step("scopes", allowed, "found"))
    upstream = UpstreamRequest("GET", "/orders", {"X-Auth-Subject": EVIL}) if allowed else None
    return Explanation(allowed, 200 if allowed else 403, None if allowed else "x", "r", steps, upstream)


def test_nothing_that_was_sent_or_came_is_html() -> None:
    seen = [
        exchange(body=EVIL, expected=Expected(201), explanation=explanation(allowed=True)),
        Link(EVIL, {EVIL: EVIL}, {EVIL: EVIL}),
        Returned(EVIL, {EVIL: EVIL}, (("a check", False),), EVIL, Message(EVIL, ((EVIL, EVIL),), EVIL)),
        Decoded(EVIL, TOKEN, {EVIL: EVIL}, {EVIL: [EVIL]}),
        Shortened(1_800_000_000, 8),
        Unanswered(EVIL, EVIL),
    ]
    for each in seen:
        shown = VIEW.show(each)
        assert "<script" not in shown
        assert "&amp;amp;" not in shown


def test_a_token_is_short_and_stands_in_full_in_a_fold_alone() -> None:
    shown = VIEW.show(exchange())
    parts = re.split(r"<summary>The token in full</summary>", shown)
    assert TOKEN not in parts[0]
    assert "Bearer eyJaaaaaaa…aaaaaa" in parts[0]
    fold, _, rest = parts[1].partition("</details>")
    assert TOKEN in fold
    assert "access token" in fold
    assert TOKEN not in rest


def test_an_exchange_without_a_token_has_no_such_fold() -> None:
    sent = Sent(Message("GET / HTTP/1.1", ()), Message("HTTP/1.1 200 OK", (), "{}"), 200)
    assert "in full" not in VIEW.show(Exchange("a request", ASKS_API, sent))


def test_what_is_otherwise_than_told_is_an_alert() -> None:
    shown = VIEW.show(exchange(404, expected=Expected(200)))
    assert 'role="alert"' in shown
    assert "expected 200, got 404" in shown
    assert 'role="alert"' not in VIEW.show(exchange(404, expected=Expected(404)))


def test_a_refusal_looks_like_one_also_when_it_is_as_told() -> None:
    assert '<p class="verdict refused">401 token_expired</p>' in VIEW.show(exchange(401, '{"reason": "token_expired"}'))
    assert '<p class="verdict good">200</p>' in VIEW.show(exchange())


def test_a_decision_points_to_the_line_of_the_configuration_and_says_how_to_ask_for_it() -> None:
    shown = VIEW.show(exchange(explanation=explanation(allowed=True)))
    assert '<a class="where" href="/configuration#L12">gateway.yaml:12</a>' in shown
    command = html.unescape(re.findall("<code>(oauth-gateway explain .*?)</code>", shown)[0])
    assert command == 'oauth-gateway explain POST /orders?a=1&b=2 -t "$TOKEN" -c /tmp/x/gateway.yaml'
    assert "What the API gets" in shown
    refused = VIEW.show(exchange(403, explanation=explanation(allowed=False)))
    assert "refused, 403 x" in refused
    assert "What the API gets" not in refused


def test_an_opaque_token_is_said_to_be_one() -> None:
    shown = VIEW.show(Decoded("a look", TOKEN, {}, {}))
    assert "63 characters, and nothing to read" in shown
    assert TOKEN not in shown


def test_parameters_that_are_known_are_explained() -> None:
    shown = VIEW.show(Link("http://h/?state=x", {"state": "x", "odd": "y"}, {}))
    assert shown.count('class="meaning"') == 1


def test_a_text_has_its_code_and_its_references() -> None:
    assert sentence("`a<b` (RFC 7636 §4)") == (
        '<code>a&lt;b</code> (<a rel="noreferrer" href="https://www.rfc-editor.org/rfc/rfc7636#section-4">'
        "RFC 7636 §4</a>)"
    )
    assert paragraphs("*one*\n\n$two", {"two": "<2>"}) == "<p><em>one</em></p>\n<p>&lt;2&gt;</p>"
