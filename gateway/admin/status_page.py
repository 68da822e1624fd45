"""`/status` for people: the members of `/status.json` as one page of plain HTML; it has no script and fetches nothing.

Knows nothing of where the members come from.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

from gateway.admin.markup import Html, joined, tag

_SHOWN_ROUTES: Final = 200
"""With more of them, those that are used most; all are in the document."""
_REFRESH: Final = "10"

STYLE: Final = Html((resources.files(__package__) / "status.css").read_text(encoding="utf-8"))
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode("utf-8")).digest()).decode("ascii")

FIELDS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Header fields of the page: it may load nothing, and be part of nothing."""

Members = Mapping[str, Any]


def page(status: Members) -> str:
    """The whole document."""
    head = tag(
        "head",
        [
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("meta", http_equiv="refresh", content=_REFRESH),
            tag("title", f"{_state(status)[1]} · oauth-gateway"),
            tag("style", STYLE),
        ],
    )
    sections = (_reasons, _issuers, _upstreams, _last_refusals, _routes, _caches, _workers)
    body = tag("body", [_header(status), tag("main", [_facts(status), *(part(status) for part in sections)])])
    return f"<!doctype html>\n{tag('html', [head, body], lang='en')}\n"


# --- the top -----------------------------------------------------------------------------------------------------


def _state(status: Members) -> tuple[str, str]:
    """How it is, in one word for the style and a few for people."""
    if status["draining"]:
        return "warn", "draining"
    if not status["ready"]:
        return "bad", "not ready"
    return ("warn", "ready, with trouble") if any(_troubles(status)) else ("good", "ready")


def _troubles(status: Members) -> Iterable[str]:
    """What somebody should look at, each in a sentence."""
    for issuer in status["issuers"]:
        if issuer["state"] == "waiting":
            yield f"The keys of issuer {issuer['name']} were never had."
        elif issuer["state"] == "stale":
            yield f"The keys of issuer {issuer['name']} can't be fetched; those of before are used."
    for upstream in status["upstreams"]:
        if down := [each["address"] for each in upstream["endpoints"] if not each["healthy"]]:
            yield f"Upstream {upstream['name']}: nothing is sent to {', '.join(down)}."
    if (status["redis"] or {}).get("state", "ready") != "ready":
        yield "Redis can't be used."
    if status["workers"]["serving"] < status["workers"]["count"]:
        yield f"{status['workers']['serving']} of {status['workers']['count']} workers serve."
    configuration = status["configuration"]
    if configuration.get("state") == "refused":
        yield f"The last reload was refused, the configuration of before is in use: {configuration['problem']}"
    if keys := configuration.get("needs_restart"):
        yield f"A restart is needed for what the configuration says of {', '.join(keys)}."


def _header(status: Members) -> Html:
    kind, words = _state(status)
    about = [
        f"Version {status['version']}, up {duration(status['uptime_seconds'])}, as of ",
        _time(status["now"]),
        ", configuration of ",
        _time(status["configuration"]["taken_at"]),
        ".",
    ]
    troubles = [tag("li", trouble) for trouble in _troubles(status)]
    return tag(
        "header",
        [
            tag("h1", ["oauth-gateway ", tag("span", words, class_=f"pill {kind}")]),
            tag("p", about),
            tag("ul", troubles, class_="troubles") if troubles else "",
        ],
    )


def _facts(status: Members) -> Html:
    requests = status["requests"]
    facts = [
        ("requests", number(requests["total"])),
        ("refused", number(requests["refused"])),
        *([("would be refused", number(requests["would_refuse"]))] if requests["would_refuse"] else []),
        ("in flight", number(requests["in_flight"])),
        ("connections", number(requests["connections"])),
        ("revocations", number(status["revocations"])),
        *([("Redis", str(status["redis"]["state"]))] if status["redis"] is not None else []),
    ]
    return tag("dl", [tag("div", [tag("dt", name), tag("dd", value)]) for name, value in facts], class_="facts")


# --- what is refused ---------------------------------------------------------------------------------------------


def _reasons(status: Members) -> Html:
    counts = status["refusals"]["counts"]
    total = sum(each["count"] for each in counts)
    rows = [[tag("code", each["reason"]), number(each["count"]), _meter(each["count"], total)] for each in counts]
    return _section("Refusals", _table(("Reason", "Count", "Share"), rows, "Nothing was refused."))


def _last_refusals(status: Members) -> Html:
    rows = [
        [
            _time(each["at"]),
            each["route"] or tag("span", "no route", class_="none"),
            tag("code", each["reason"]),
            str(each["status"]),
            tag("code", each["request_id"]),
        ]
        for each in status["refusals"]["recent"]
    ]
    titles = ("Time", "Route", "Reason", "Status", "Request id")
    return _section("The last refusals", _table(titles, rows, "Nothing was refused."))


# --- what there is -----------------------------------------------------------------------------------------------


def _issuers(status: Members) -> Html:
    rows = []
    for issuer in status["issuers"]:
        age = issuer["key_age_seconds"]
        pill = {"ready": ("good", "ready"), "stale": ("warn", "stale"), "waiting": ("bad", "waiting")}[issuer["state"]]
        skipped = f", {issuer['skipped_keys']} unusable" if issuer["skipped_keys"] else ""
        rows.append(
            [
                [tag("strong", issuer["name"]), tag("br"), tag("small", issuer["issuer"])],
                tag("span", pill[1], class_=f"pill {pill[0]}"),
                f"{issuer['keys']}{skipped}",
                duration(age) if age is not None else tag("span", "–", class_="none"),
                _results(issuer["fetches"]),
                _results(issuer["introspections"]),
            ]
        )
    titles = ("Issuer", "State", "Keys", "Age of keys", "Fetches", "Introspections")
    return _section("Issuers", _table(titles, rows, "There is none."))


def _upstreams(status: Members) -> Html:
    rows = []
    for upstream in status["upstreams"]:
        mean = upstream["mean_seconds"]
        for index, endpoint in enumerate(upstream["endpoints"]):
            is_first = index == 0
            pill = ("good", "in use") if endpoint["healthy"] else ("bad", "not used")
            rows.append(
                [
                    tag("strong", upstream["name"]),
                    tag("code", endpoint["address"]),
                    tag("span", pill[1], class_=f"pill {pill[0]}"),
                    "yes" if upstream["probed"] else "no",
                    number(upstream["answers"]) if is_first else "",
                    f"{mean * 1000:.1f} ms" if is_first and mean is not None else "",
                    number(upstream["retries"]) if is_first else "",
                ]
            )
    titles = ("Upstream", "Endpoint", "State", "Probed", "Answers", "Mean", "Retries")
    return _section("Upstreams", _table(titles, rows, "There is none."))


def _routes(status: Members) -> Html:
    routes: Sequence[Members] = status["routes"]
    left_out = len(routes) - _SHOWN_ROUTES
    if left_out > 0:
        routes = sorted(routes, key=lambda route: -route["requests"])[:_SHOWN_ROUTES]
    rows = [
        [
            [tag("strong", route["name"]), *_marks(route)],
            [_lines(route["hosts"]), _lines(route["paths"])],
            " ".join(route["methods"]) or "any",
            route["upstream"] or tag("span", "own answer", class_="none"),
            " ".join(route["scopes"]) or tag("span", "–", class_="none"),
            number(route["requests"]),
            number(route["refused"] + route["would_refuse"]),
        ]
        for route in routes
    ]
    titles = ("Route", "Host and path", "Methods", "Upstream", "Scopes", "Requests", "Refused")
    note = tag("p", f"The {_SHOWN_ROUTES} that are used most; {number(left_out)} more are in /status.json.")
    return _section("Routes", note if left_out > 0 else "", _table(titles, rows, "There is none."))


def _marks(route: Members) -> list[str]:
    marks = (
        [] if route["access"] == "required" else [{"public": "public", "optional": "token optional"}[route["access"]]]
    )
    if not route["enforced"]:
        marks.append("not enforced")
    return [part for mark in marks for part in (" ", tag("span", mark, class_="pill"))]


def _caches(status: Members) -> Html:
    rows = []
    for cache in status["caches"]:
        rate = cache["hit_rate"]
        shown = [f"{100 * rate:.1f} % ", _meter(rate, 1)] if rate is not None else tag("span", "–", class_="none")
        rows.append([tag("strong", cache["name"]), number(cache["hits"]), number(cache["misses"]), shown])
    return _section("Caches", _table(("Cache", "Hits", "Misses", "Hit rate"), rows, "Nothing was looked up."))


def _workers(status: Members) -> Html:
    workers = status["workers"]
    kinds = {"ready": "good", "restarting": "bad"}
    rows = [
        [tag("strong", slot), tag("span", state, class_=f"pill {kinds.get(state, 'warn')}")]
        for slot, state in workers["states"].items()
    ]
    restarts = f"{number(workers['restarts'])} restart{'s' if workers['restarts'] != 1 else ''}"
    words = f"{workers['serving']} of {workers['count']} serve, {restarts}."
    return _section("Workers", tag("p", words), _table(("Worker", "State"), rows, "") if rows else "")


# --- parts -------------------------------------------------------------------------------------------------------


def _section(title: str, *content: str) -> Html:
    return tag("section", [tag("h2", title), *content])


def _table(titles: Sequence[str], rows: Sequence[Sequence[str | Iterable[str]]], nothing: str) -> Html:
    """On a narrow screen a row becomes a card, in which each cell says what it is by its `data-label`."""
    if not rows:
        return tag("p", nothing, class_="none")
    head = tag("tr", [tag("th", title, scope="col") for title in titles])
    body = [
        tag("tr", [tag("td", tag("div", cell), data_label=title) for title, cell in zip(titles, row, strict=True)])
        for row in rows
    ]
    return tag("table", [tag("thead", head), tag("tbody", body)])


def _lines(texts: Iterable[str]) -> Html:
    return joined(part for text in texts for part in (tag("code", text), tag("br")))


def _results(counts: Mapping[str, int]) -> Html:
    if not counts:
        return tag("span", "–", class_="none")
    return joined(", ".join(f"{number(count)} {result}" for result, count in counts.items()))


def _meter(value: float, most: float) -> Html:
    return tag("meter", "", value=f"{value:g}", max=f"{most:g}")


def _time(at: float) -> Html:
    moment = datetime.fromtimestamp(at, UTC)
    return tag("time", f"{moment:%Y-%m-%d %H:%M:%S} UTC", datetime=f"{moment:%Y-%m-%dT%H:%M:%SZ}")


def number(count: int) -> str:
    """With blanks between thousands that don't break a line."""
    return f"{count:,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """The two largest units: `3 d 4 h`, `12 s`."""
    left, parts = int(seconds), []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
