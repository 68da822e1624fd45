"""The status document: figures, put beside the names of the configuration."""

from __future__ import annotations

import json

from gateway import __version__
from gateway.admin.figures import Figures
from gateway.admin.installation import Installation
from gateway.admin.refusals import Refusal
from tests.admin.statuses import ENDPOINTS, NOW, document, figures, installation, route
from tests.documents import ROOT, blocks


def test_the_document_says_what_there_is_and_how_it_does() -> None:
    told = document(refusals=[Refusal(NOW - 1.23456, "read", "token_expired", 401, "id1")])
    assert json.loads(json.dumps(told)) == told
    assert told == {
        "version": __version__,
        "now": NOW,
        "started_at": NOW - 3600,
        "uptime_seconds": 3600.0,
        "ready": True,
        "draining": False,
        "configuration": {"taken_at": NOW - 60, "state": "current"},
        "workers": {"count": 1, "serving": 1, "restarts": 0, "states": {}},
        "requests": {
            "total": 11,
            "allowed": 7,
            "refused": 4,
            "would_refuse": 4,
            "in_flight": 0,
            "connections": 0,
        },
        "caches": [
            {"name": "token", "hits": 3, "misses": 1, "hit_rate": 0.75},
            {"name": "other", "hits": 0, "misses": 0, "hit_rate": None},
        ],
        "redis": None,
        "revocations": 0,
        "issuers": [
            {
                "name": "corp",
                "issuer": "https://login.example.com",
                "keys": "discovery",
                "state": "ready",
                "key_age_seconds": 200.0,
                "refresh_seconds": 600.0,
                "skipped_keys": 1,
                "fetches": {"ok": 5, "timeout": 2},
                "introspections": {},
            },
            {
                "name": "inline",
                "issuer": "https://inline.example.org",
                "keys": "inline",
                "state": "ready",
                "key_age_seconds": None,
                "refresh_seconds": None,
                "skipped_keys": 0,
                "fetches": {},
                "introspections": {"active": 3},
            },
        ],
        "upstreams": [
            {
                "name": "orders",
                "probed": True,
                "retries": 2,
                "answers": 5,
                "mean_seconds": 0.1,
                "endpoints": [{"address": address, "healthy": True} for address in ENDPOINTS],
            }
        ],
        "routes": [
            {
                "name": "read",
                "hosts": ["api.example.com"],
                "paths": ["/orders/{tenant}/**"],
                "methods": ["GET"],
                "upstream": "orders",
                "access": "required",
                "scopes": ["orders:read"],
                "enforced": True,
                "requests": 10,
                "refused": 3,
                "would_refuse": 0,
            }
        ],
        "refusals": {
            "counts": [
                {"reason": "token_missing", "count": 4},
                {"reason": "scope_insufficient", "count": 2},
                {"reason": "route_not_found", "count": 1},
                {"reason": "token_expired", "count": 1},
                {"reason": "upstream_timeout", "count": 1},
            ],
            "recent": [
                {"at": NOW - 1.235, "route": "read", "reason": "token_expired", "status": 401, "request_id": "id1"}
            ],
        },
    }


def test_an_issuer_is_waiting_before_its_keys_and_stale_when_fetches_fail_for_long() -> None:
    def state(age: float, readiness: str) -> str:
        return str(document(told=figures(age=age), issuers={"corp": readiness})["issuers"][0]["state"])

    assert state(1100.0, "ready") == "ready"
    assert state(1300.0, "ready") == "stale"
    assert state(0.0, "waiting") == "waiting"
    assert document(issuers={})["issuers"][0]["state"] == "waiting"


def test_an_endpoint_that_is_down_or_unheard_of_is_not_healthy() -> None:
    [upstream] = document(told=figures(down=ENDPOINTS[:1]))["upstreams"]
    assert [each["healthy"] for each in upstream["endpoints"]] == [False, True]
    [upstream] = document(told=Figures())["upstreams"]
    assert [each["healthy"] for each in upstream["endpoints"]] == [False, False]
    assert upstream["mean_seconds"] is None


def test_workers_are_told_one_by_one_where_there_are_several() -> None:
    told = figures(gateway_workers=1, gateway_worker_restarts=3)
    workers = document(told=told, workers={"0": "ready", "1": "restarting"})["workers"]
    assert workers == {"count": 2, "serving": 1, "restarts": 3, "states": {"0": "ready", "1": "restarting"}}


def test_what_became_of_a_reload_is_told_as_readyz_tells_it() -> None:
    refused = {"state": "refused", "since": NOW - 5, "problem": "a.yaml:1:1: no", "needs_restart": ["listen"]}
    assert document(configuration=refused)["configuration"] == {"taken_at": NOW - 60, **refused}


def test_routes_that_nobody_asked_for_are_there_and_routes_that_are_gone_are_not() -> None:
    told = document(installation(route("shadow", enforced=False), route("new")))
    assert [(each["name"], each["requests"], each["would_refuse"]) for each in told["routes"]] == [
        ("shadow", 0, 4),
        ("new", 0, 0),
    ]
    assert document(Installation())["routes"] == []


def test_the_reference_names_every_member() -> None:
    text = (ROOT / "docs/admin.md").read_text(encoding="utf-8")
    section = text[text.index("## Status") : text.index("## The API")]

    def names(part: object) -> set[str]:
        if isinstance(part, list):
            return set().union(*map(names, part))
        return set(part).union(*map(names, part.values())) if isinstance(part, dict) else set()

    told = document(refusals=[Refusal(NOW, "read", "x", 401, "id1")])
    free = {"ok", "timeout", "active"}  # results, which the section on metrics names
    assert sorted(name for name in names(told) - free if f"`{name}`" not in section) == []
    assert list(blocks(ROOT / "docs/admin.md", "console"))
