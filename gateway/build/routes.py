"""From the `routes` of the configuration to routes of the gateway: who may use each, and what then happens."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gateway.access.limits import Rate, RouteLimit
from gateway.access.policy import Policy
from gateway.access.rules import Rules
from gateway.access.verification import Verifier
from gateway.app import Route
from gateway.build.cors import compiled_cors
from gateway.build.report import Report
from gateway.build.rules import compiled_rules
from gateway.build.shared import Shared
from gateway.config import Config
from gateway.config.routes import Route as RouteConfig
from gateway.config.source import Path_
from gateway.errors import GatewayError
from gateway.http.cors import Cors
from gateway.http.via import Via
from gateway.oauth.resource_metadata import ProtectedResource
from gateway.router import canonical_template
from gateway.upstream.fields import RequestFields, ResponseFields
from gateway.upstream.forward import Forward
from gateway.upstream.identity import PRESETS, Identity
from gateway.upstream.inbound import Action
from gateway.upstream.respond import Preflight, Respond
from gateway.upstream.service import Upstream
from gateway.upstream.target import Rewriting

T = TypeVar("T")


class RouteBuilder:
    """Makes the routes of one gateway."""

    def __init__(
        self, config: Config, report: Report, verifier: Verifier, shared: Shared, upstreams: Mapping[str, Upstream]
    ) -> None:
        self._config = config
        self._report = report
        self._verifier = verifier
        self._deny_list = shared.deny_list
        self._buckets = shared.buckets
        self._failures = shared.failures
        self._upstreams = upstreams
        self._via = Via(secrets.token_hex(4))
        # Routes that say the same share what is made of it, and what is kept with it for each token or client.
        self._shared: dict[object, Any] = {}
        self._vouched = frozenset(name for preset in PRESETS.values() for name in preset) | frozenset(
            name for route in config.routes if isinstance(route.identity, dict) for name in route.identity
        )

    def paths(self, index: int, route: RouteConfig) -> tuple[str, ...]:
        """The route's paths in the one form; what has none is a problem of the configuration."""
        paths = []
        for template in route.path:
            try:
                paths.append(canonical_template(template))
            except GatewayError as error:
                self._report.add(("routes", index, "path"), f"{template} is refused in requests: {error.evidence}")
                paths.append(template)
        return tuple(paths)

    def route(self, index: int, route: RouteConfig, resource: ProtectedResource | None) -> Route:
        """One route; `resource` is what its challenges point to."""
        where = functools.partial(self._report.where, "routes", index)
        policy = Policy(
            self._verifier,
            self._deny_list,
            compiled_rules(route.require, where, self._same(route.require.model_dump_json(), object)),
            is_public=route.public,
            is_token_optional=route.token == "optional",
            is_enforced=route.enforce,
            notes_fingerprint=self._config.log.tokens,
            introspects=route.require.introspect,
            limit=self._limit(route),
            failures=None if route.public else self._failures,
        )
        cors = compiled_cors(route) if route.cors is not None else None
        action = self._action(index, route)
        return Route(
            route.title,
            policy,
            action,
            None if route.public else resource,
            keeps_encoded_slash=route.encoded_slash == "keep",
            keeps_semicolon=route.semicolon == "keep",
            where=where(),
            cors=cors,
            preflight=self._preflight(route, cors, where()) if cors is not None else None,
            begin=action.begin if isinstance(action, Forward) and cors is None else None,
        )

    def _preflight(self, route: RouteConfig, cors: Cors, where: str) -> Route:
        # It says nothing but what the configuration says, so nobody needs a token for it.
        policy = Policy(self._verifier, self._deny_list, Rules(), is_public=True)
        return Route(
            route.title,
            policy,
            Preflight(cors),
            keeps_encoded_slash=route.encoded_slash == "keep",
            keeps_semicolon=route.semicolon == "keep",
            where=where,
        )

    def _limit(self, route: RouteConfig) -> RouteLimit | None:
        limit = route.rate_limit
        if limit is None:
            return None
        rate = Rate(limit.requests, limit.per, limit.burst or limit.requests)
        return RouteLimit(route.title, rate, limit.by, self._buckets)

    def _action(self, index: int, route: RouteConfig) -> Action:
        if route.respond is not None or route.upstream is None:
            return _respond(route)
        upstream = self._upstreams[route.upstream]
        base, authorities = _base_path(upstream), {site.authority for site in upstream.sites}
        identity = PRESETS[route.identity] if isinstance(route.identity, str) else route.identity
        max_body = route.max_body if route.max_body is not None else self._config.limits.request_body
        return Forward(
            upstream=upstream,
            rewriting=Rewriting(
                base,
                self._canonical(("routes", index, "strip_prefix"), (route.strip_prefix or "").rstrip("/")),
                self._canonical(("routes", index, "rewrite"), route.rewrite) if route.rewrite is not None else None,
            ),
            host=_host_header(route.host_header, upstream.sites[0].authority),
            request_fields=self._request_fields(route),
            response_fields=self._response_fields(route),
            identity=self._same(tuple(identity.items()), lambda: Identity(tuple(identity.items()))),
            max_body=max_body,
            timeout=route.timeout,
            names_endpoint=route.host_header == "upstream" and len(authorities) > 1,
        )

    def _request_fields(self, route: RouteConfig) -> RequestFields:
        keeps, headers = route.authorization == "keep", route.request_headers
        return self._same(
            ("request", keeps, headers.model_dump_json()),
            lambda: RequestFields(
                vouched=self._vouched,
                keeps_authorization=keeps,
                via=self._via,
                removed=headers.remove,
                added=headers.set.items(),
            ),
        )

    def _response_fields(self, route: RouteConfig) -> ResponseFields:
        headers = route.response_headers
        return self._same(
            ("response", headers.model_dump_json()),
            lambda: ResponseFields(removed=headers.remove, added=headers.set.items()),
        )

    def _same(self, key: object, make: Callable[[], T]) -> T:
        if key not in self._shared:
            self._shared[key] = make()
        shared: T = self._shared[key]
        return shared

    def _canonical(self, path: Path_, template: str) -> str:
        try:
            return canonical_template(template) if template else ""
        except GatewayError as error:
            self._report.add(path, f"{template} is refused in requests: {error.evidence}")
            return template


def _base_path(upstream: Upstream) -> str:
    """The same for all addresses: the checks of the configuration have seen to that."""
    site = upstream.sites[0]
    return "" if site.origin.unix_path is not None else urlsplit(site.address).path.rstrip("/")


def _host_header(setting: str, authority: str) -> str | None:
    return {"upstream": authority, "preserve": None}.get(setting, setting)


def _respond(route: RouteConfig) -> Respond:
    answer = route.respond
    if answer is None:
        # Reported by the checks of the configuration; nothing is built from it.
        return Respond(500, b"", ())
    added = [(name.encode("ascii"), value.encode("utf-8")) for name, value in route.response_headers.set.items()]
    fields = [(b"Content-Type", answer.content_type.encode("utf-8")), *added]
    return Respond(answer.status, answer.body.encode("utf-8"), tuple(fields))
