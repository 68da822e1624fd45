"""Made-up states of a gateway, as its status document and its page are asked about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.admin import status
from gateway.admin.figures import Figures
from gateway.admin.installation import Installation, IssuerSeen, RouteSeen, UpstreamSeen
from gateway.admin.refusals import Refusal

NOW = 1_795_671_521.0
ENDPOINTS = ("http://10.0.0.1:9001", "http://10.0.0.2:9001")
READY: Mapping[str, Any] = {
    "ready": True,
    "started": True,
    "draining": False,
    "issuers": {"corp": "ready", "inline": "ready"},
    "configuration": {"state": "current"},
}


def route(name: str = "read", **changes: Any) -> RouteSeen:
    """A route that needs a token with one scope."""
    members: dict[str, Any] = {
        "hosts": ("api.example.com",),
        "paths": ("/orders/{tenant}/**",),
        "methods": ("GET",),
        "upstream": "orders",
        "access": "required",
        "scopes": ("orders:read",),
        "enforced": True,
    }
    return RouteSeen(name, **{**members, **changes})


def installation(*routes: RouteSeen) -> Installation:
    """Two issuers, of which the keys of one are fetched, and an upstream with two endpoints."""
    issuers = (
        IssuerSeen("corp", "https://login.example.com", "discovery", 600.0),
        IssuerSeen("inline", "https://inline.example.org", "inline", None),
    )
    return Installation(routes or (route(),), issuers, (UpstreamSeen("orders", ENDPOINTS, probed=True),))


def figures(*, age: float = 200.0, down: Sequence[str] = (), **more: float) -> Figures:
    """What `read` has seen: ten requests, of which three were refused. `more` are figures without labels."""
    told = Figures()
    told.put(
        "gateway_requests", [(("read", "GET", "200"), [7]), (("read", "GET", "403"), [3]), (("", "GET", "404"), [1])]
    )
    told.put(
        "gateway_decisions",
        [
            (("read", "allow", "", "corp"), [6]),
            (("read", "allow", "upstream_timeout", "corp"), [1]),
            (("read", "refuse", "scope_insufficient", "corp"), [2]),
            (("read", "refuse", "token_expired", "corp"), [1]),
            (("", "refuse", "route_not_found", ""), [1]),
            (("shadow", "would_refuse", "token_missing", ""), [4]),
        ],
    )
    told.put("gateway_jwks_age_seconds", [(("corp",), [age]), (("inline",), [9999.0])])
    told.put("gateway_jwks_skipped_keys", [(("corp",), [1])])
    told.put("gateway_jwks_refresh", [(("corp", "ok"), [5]), (("corp", "timeout"), [2])])
    told.put("gateway_introspection", [(("inline", "active"), [3])])
    told.put("gateway_cache_operations", [(("token", "hit"), [3]), (("token", "miss"), [1]), (("other", "hit"), [0])])
    told.put("gateway_upstream_healthy", [(("orders", each), [int(each not in down)]) for each in ENDPOINTS])
    told.put("gateway_upstream_retries", [(("orders",), [2])])
    told.put("gateway_upstream_duration_seconds", [(("orders",), [0.5, 4, 1])])
    told.one("gateway_config_last_reload_timestamp_seconds", NOW - 60)
    for name, value in more.items():
        told.one(name, value)
    return told


def document(
    seen: Installation | None = None,
    told: Figures | None = None,
    refusals: Sequence[Refusal] = (),
    **report: Any,
) -> dict[str, Any]:
    """The document of a gateway that has been up for an hour."""
    moment = status.Moment(told or figures(), refusals, {**READY, **report}, NOW - 3600, NOW)
    return status.document(seen or installation(), moment)
