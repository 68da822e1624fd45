"""Rules between the fields of a configuration: what each value is allowed to be, given the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from gateway.config import check_issuers, check_upstreams, supported
from gateway.config.environment import nearest
from gateway.config.model import Config
from gateway.config.routes import Require, Route, RouteDefaults
from gateway.config.source import Finding, Path_
from gateway.config.values import parameters

_OWN_FIELDS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "authorization", "te", "trailer", "upgrade"}
)
_RESERVED = "/_gateway"
_LIMITED_BY = ("ip", "subject", "client_id", "issuer", "route")
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.\-]*://(\*\.)?(\[[0-9a-f:.]+\]|[a-z0-9\-_]+(\.[a-z0-9\-_]+)*)(:[0-9]{1,5})?", re.IGNORECASE
)


def findings(config: Config) -> Iterator[Finding]:
    """Everything that does not go together, as path and message."""
    for path in supported.unsupported(config):
        yield path, "not supported yet"
    yield from _listeners(config)
    if config.limits.failed_authentication.per <= 0:
        yield ("limits", "failed_authentication", "per"), "must be longer than nothing"
    yield from check_issuers.findings(config)
    yield from check_upstreams.findings(config)
    yield from _route_names(config)
    for index, route in enumerate(config.routes):
        for check in _ROUTE_CHECKS:
            yield from check(("routes", index), route, config)


def _listeners(config: Config) -> Iterator[Finding]:
    # Port 0 is a free one, and another one each time.
    if config.admin.listen in config.listen and not config.admin.listen.endswith(":0"):
        yield ("admin", "listen"), "must not be the traffic port: health and metrics are not for clients"


def _route_names(config: Config) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, route in enumerate(config.routes):
        if route.title in seen:
            path: Path_ = ("routes", index, "name") if route.name else ("routes", index)
            yield path, f"another route, routes[{seen[route.title]}], is called {route.title}; give it another name"
        seen.setdefault(route.title, index)


def _target(path: Path_, route: Route, config: Config) -> Iterator[Finding]:
    if (route.upstream is None) == (route.respond is None):
        yield path, "needs either upstream or respond"
    if route.upstream is not None and route.upstream not in config.upstreams:
        hint = nearest(route.upstream, config.upstreams)
        yield (*path, "upstream"), f"there is no upstream {route.upstream}{hint}"


def _access(path: Path_, route: Route, config: Config) -> Iterator[Finding]:
    if route.public:
        if route.require != RouteDefaults().require and not _is_default(config, "require", route):
            yield (*path, "require"), "has no meaning on a public route: no token is looked at"
        if route.token == "optional":
            yield (*path, "token"), "has no meaning on a public route: no token is looked at"
    elif not config.issuers:
        yield path, "needs a token, and there are no issuers; name one, or set public: true"
    for position, name in enumerate(route.require.issuers or ()):
        if name not in config.issuers:
            message = f"there is no issuer {name}{nearest(name, config.issuers)}"
            yield (*path, "require", "issuers", position), message


def _is_default(config: Config, key: str, route: Route) -> bool:
    return bool(getattr(config.route_defaults, key) == getattr(route, key))


def _parameters(path: Path_, route: Route, _: Config) -> Iterator[Finding]:
    for template in route.path:
        known = parameters(template)
        for claim, name in _parameters_in(route.require):
            if name not in known:
                where = (*path, "require", "claims", claim)
                yield where, f"the path {template} has no parameter {{{name}}}{nearest(name, known)}"
        for name in sorted(parameters(route.rewrite or "/") - known):
            yield (*path, "rewrite"), f"the path {template} has no parameter {{{name}}}{nearest(name, known)}"


def _parameters_in(require: Require) -> Iterator[tuple[str, str]]:
    for claim, condition in require.claims.items():
        for name in sorted(condition.parameters):
            yield claim, name


def _rewriting(path: Path_, route: Route, _: Config) -> Iterator[Finding]:
    if route.strip_prefix is not None and route.rewrite is not None:
        yield (*path, "rewrite"), "and strip_prefix exclude each other"
    if route.strip_prefix is not None:
        prefix = route.strip_prefix.rstrip("/")
        for template in route.path:
            if template != prefix and not template.startswith(f"{prefix}/"):
                yield (*path, "strip_prefix"), f"the path {template} does not begin with it"
        if parameters(route.strip_prefix) or "*" in route.strip_prefix:
            yield (*path, "strip_prefix"), "must be a literal path"
    if route.rewrite is not None and route.rewrite.endswith("/**"):
        yield (*path, "rewrite"), "needs a name for the rest: {rest:**}, in the path too"


def _reserved(path: Path_, route: Route, _: Config) -> Iterator[Finding]:
    for template in route.path:
        if template == _RESERVED or template.startswith(f"{_RESERVED}/"):
            yield (*path, "path"), f"{_RESERVED}/ is the gateway's own"


def _header_names(path: Path_, route: Route, _: Config) -> Iterator[Finding]:
    identity = route.identity if isinstance(route.identity, dict) else {}
    for name in identity:
        if name.lower() in _OWN_FIELDS:
            yield (*path, "identity", name), "is a field the gateway sets itself"
    for direction in ("request_headers", "response_headers"):
        for name in getattr(route, direction).set:
            if name.lower() in _OWN_FIELDS - {"authorization"}:
                yield (*path, direction, "set", name), "is a field the gateway sets itself"


def _limit(path: Path_, route: Route, _: Config) -> Iterator[Finding]:
    limit = route.rate_limit
    if limit is None:
        return
    if limit.by not in _LIMITED_BY and not (limit.by.startswith("claim:") and len(limit.by) > len("claim:")):
        message = f"must be one of {', '.join(_LIMITED_BY)} or claim:<name>{nearest(limit.by, _LIMITED_BY)}"
        yield (*path, "rate_limit", "by"), message
    elif route.public and limit.by not in ("ip", "route"):
        yield (*path, "rate_limit", "by"), "on a public route nobody is known: use ip or route"
    if limit.per <= 0:
        yield (*path, "rate_limit", "per"), "must be longer than nothing"


def _timeout(path: Path_, route: Route, _: Config) -> Iterator[Finding]:
    if route.timeout is not None and route.timeout <= 0:
        yield (*path, "timeout"), "must be longer than nothing"


def _cors(path: Path_, route: Route, _: Config) -> Iterator[Finding]:
    cors = route.cors
    if cors is None:
        return
    for position, origin in enumerate(cors.origins):
        if origin == "*":
            if cors.credentials:
                # Fetch Standard §3.2.5: browsers refuse it, and an echo of every origin would be worse.
                yield (*path, "cors", "origins", position), "* and credentials exclude each other"
        elif not _ORIGIN.fullmatch(origin):
            message = "must be an origin such as https://app.example.com, without a path; or *"
            yield (*path, "cors", "origins", position), message


_ROUTE_CHECKS: tuple[Callable[[Path_, Route, Config], Iterator[Finding]], ...] = (
    _target,
    _access,
    _parameters,
    _rewriting,
    _reserved,
    _header_names,
    _limit,
    _timeout,
    _cors,
)
