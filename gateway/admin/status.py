"""The state of a gateway in one document, `/status.json`: what there is, how it does, and what was refused lately.

Made of figures, as `/metrics` is, so that one process and several are told in the same way. Knows nothing of HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway import __version__
from gateway.admin.figures import Figures
from gateway.admin.installation import Installation, IssuerSeen, RouteSeen, UpstreamSeen
from gateway.admin.refusals import Refusal

_STALE: Final = 2.0
"""Keys that are older than so many times the pause between two fetches: fetches fail."""

Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """What was read from the gateway at `now`. `report` is what `/readyz` says; times are seconds since 1970."""

    figures: Figures
    refusals: Sequence[Refusal]
    report: Mapping[str, Any]
    started_at: float
    now: float


def document(installation: Installation, moment: Moment) -> Members:
    """The members of the document; docs/admin.md says what each means."""
    figures, report = moment.figures, moment.report
    counts = _Counts(figures)
    states = report.get("issuers", {})
    return {
        "version": __version__,
        "now": round(moment.now, 3),
        "started_at": round(moment.started_at, 3),
        "uptime_seconds": round(max(0.0, moment.now - moment.started_at), 3),
        "ready": bool(report.get("ready")),
        "draining": bool(report.get("draining")),
        "configuration": _configuration(figures, report),
        "workers": _workers(figures, report),
        "requests": counts.requests(),
        "caches": _caches(figures),
        "redis": report.get("redis"),
        "revocations": _whole(figures, "gateway_revocations"),
        "issuers": [_issuer(issuer, states.get(issuer.name), figures) for issuer in installation.issuers],
        "upstreams": [_upstream(upstream, figures) for upstream in installation.upstreams],
        "routes": [counts.route(route) for route in installation.routes],
        "refusals": {
            "counts": counts.reasons(),
            "recent": [{**refusal._asdict(), "at": round(refusal.at, 3)} for refusal in moment.refusals],
        },
    }


class _Counts:
    """Requests and decisions, added up by what they are shown by."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._requests: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._would_refuse: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._decisions: Counter[str] = Counter()
        for (route, _, _), (count,) in figures.rows("gateway_requests").items():
            self._requests[route] += int(count)
        for (route, decision, reason, _), (count,) in figures.rows("gateway_decisions").items():
            self._decisions[decision] += int(count)
            if reason:
                self._reasons[reason] += int(count)
            if decision == "refuse":
                self._refused[route] += int(count)
            elif decision == "would_refuse":
                self._would_refuse[route] += int(count)

    def requests(self) -> Members:
        return {
            "total": self._requests.total(),
            "allowed": self._decisions["allow"],
            "refused": self._decisions["refuse"],
            "would_refuse": self._decisions["would_refuse"],
            "in_flight": _whole(self._figures, "gateway_requests_in_flight"),
            "connections": _whole(self._figures, "gateway_connections"),
        }

    def reasons(self) -> list[Members]:
        """The most frequent first."""
        ordered = sorted(self._reasons.items(), key=lambda item: (-item[1], item[0]))
        return [{"reason": reason, "count": count} for reason, count in ordered]

    def route(self, route: RouteSeen) -> Members:
        return {
            "name": route.name,
            "hosts": list(route.hosts),
            "paths": list(route.paths),
            "methods": list(route.methods),
            "upstream": route.upstream,
            "access": route.access,
            "scopes": list(route.scopes),
            "enforced": route.enforced,
            "requests": self._requests[route.name],
            "refused": self._refused[route.name],
            "would_refuse": self._would_refuse[route.name],
        }


def _configuration(figures: Figures, report: Mapping[str, Any]) -> Members:
    """Since when the one in use is, and what became of the last reload."""
    taken_at = _one(figures, "gateway_config_last_reload_timestamp_seconds")
    return {"taken_at": round(taken_at, 3), **report.get("configuration", {})}


def _workers(figures: Figures, report: Mapping[str, Any]) -> Members:
    """One process that does everything is one worker, without a number."""
    states: Mapping[str, str] = report.get("workers", {})
    serving = _whole(figures, "gateway_workers") if states else int(bool(report.get("started")))
    return {
        "count": len(states) or 1,
        "serving": serving,
        "restarts": _whole(figures, "gateway_worker_restarts"),
        "states": dict(states),
    }


def _caches(figures: Figures) -> list[Members]:
    found: dict[str, Members] = {}
    for (name, result), (count,) in figures.rows("gateway_cache_operations").items():
        cache = found.setdefault(name, {"name": name, "hits": 0, "misses": 0})
        cache["hits" if result == "hit" else "misses"] += int(count)
    for cache in found.values():
        asked = cache["hits"] + cache["misses"]
        cache["hit_rate"] = round(cache["hits"] / asked, 4) if asked else None
    return list(found.values())


def _issuer(issuer: IssuerSeen, state: str | None, figures: Figures) -> Members:
    # How old keys are says nothing where they are never fetched.
    ages = figures.rows("gateway_jwks_age_seconds").get((issuer.name,)) if issuer.refresh is not None else None
    age = ages[0] if ages else None
    return {
        "name": issuer.name,
        "issuer": issuer.issuer,
        "keys": issuer.keys,
        "state": _key_state(issuer, state, age),
        "key_age_seconds": round(age, 1) if age is not None else None,
        "refresh_seconds": issuer.refresh,
        "skipped_keys": int(figures.rows("gateway_jwks_skipped_keys").get((issuer.name,), [0])[0]),
        "fetches": _by_result(figures, "gateway_jwks_refresh", issuer.name),
        "introspections": _by_result(figures, "gateway_introspection", issuer.name),
    }


def _key_state(issuer: IssuerSeen, state: str | None, age: float | None) -> str:
    if state != "ready":
        return "waiting"
    return "stale" if issuer.refresh and age is not None and age > _STALE * issuer.refresh else "ready"


def _by_result(figures: Figures, name: str, issuer: str) -> dict[str, int]:
    return {result: int(count) for (who, result), (count,) in figures.rows(name).items() if who == issuer}


def _upstream(upstream: UpstreamSeen, figures: Figures) -> Members:
    healthy = figures.rows("gateway_upstream_healthy")
    return {
        "name": upstream.name,
        "probed": upstream.probed,
        "retries": int(figures.rows("gateway_upstream_retries").get((upstream.name,), [0])[0]),
        **_durations(figures.rows("gateway_upstream_duration_seconds").get((upstream.name,))),
        "endpoints": [
            {"address": address, "healthy": bool(healthy.get((upstream.name, address), [0])[0])}
            for address in upstream.endpoints
        ],
    }


def _durations(row: Sequence[float] | None) -> Members:
    total, *counts = row or [0.0]
    answers = int(sum(counts))
    return {"answers": answers, "mean_seconds": round(total / answers, 6) if answers else None}


def _one(figures: Figures, name: str) -> float:
    return figures.rows(name).get((), [0.0])[0]


def _whole(figures: Figures, name: str) -> int:
    return int(_one(figures, name))
