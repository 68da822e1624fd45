"""From a configuration to a `Gateway`: the only file that makes its objects and joins them."""

from __future__ import annotations

import functools
import ipaddress
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from gateway.access import claims
from gateway.access.claims import Check, ClaimRule, Parameter
from gateway.access.policy import Policy
from gateway.access.rules import Rules
from gateway.access.verification import TrustedIssuer, Verified, Verifier
from gateway.app import Gateway, Route, application
from gateway.cache.memory import BoundedCache
from gateway.config import Config, ConfigError, Problem, load, parse
from gateway.config.conditions import Condition, PathParameter
from gateway.config.model import Issuer, Upstream
from gateway.config.routes import Require
from gateway.config.routes import Route as RouteConfig
from gateway.config.source import Path_
from gateway.errors import GatewayError
from gateway.http.client import Origin, Pool
from gateway.http.forwarding import Forwarding
from gateway.http.framing import HeadLimits
from gateway.http.server import ServerLimits
from gateway.oauth.client import IssuerClient
from gateway.oauth.jose import Malformed, strict_json
from gateway.oauth.jwks import FileKeys, KeySource, RefreshRules, RemoteKeys, StaticKeys
from gateway.oauth.jwt import TokenRules
from gateway.oauth.key_store import KeyStore
from gateway.oauth.keys import KeySet, from_jwks, from_secret
from gateway.oauth.resource_metadata import ProtectedResource
from gateway.responses import ErrorStyle
from gateway.router import Pattern, RouteConflict, Router, canonical_template, literal_prefix
from gateway.upstream.fields import RequestFields, ResponseFields
from gateway.upstream.forward import Forward
from gateway.upstream.forward import Upstream as UpstreamService
from gateway.upstream.identity import PRESETS, Identity
from gateway.upstream.inbound import Action
from gateway.upstream.respond import MetadataDocument, Respond
from gateway.upstream.target import Rewriting

# The verified-token cache of one worker: a token of usual size weighs about 1 KB, its claims several times that.
_CACHED_TOKENS = 10_000
_CACHED_BYTES = 32 * 2**20


def build(config: Config) -> Gateway:
    """A gateway for a configuration. Raises `ConfigError` with what only shows when the parts are put together."""
    return _Builder(config).gateway()


def make_application(config: Config | Mapping[str, Any] | str | Path) -> web.Application:
    """See `gateway.app.make_app`."""
    if isinstance(config, str | Path):
        config = load(config)
    elif not isinstance(config, Config):
        config = parse(config)
    return application(build(config), server_limits(config))


def problems(config: Config) -> tuple[Problem, ...]:
    """What is wrong with a configuration that is well-formed: ambiguous paths, routes that collide, unusable keys."""
    try:
        build(config)
    except ConfigError as error:
        return error.problems
    return ()


def server_limits(config: Config) -> ServerLimits:
    """What clients of the traffic port may do."""
    return ServerLimits(
        _head_limits(config),
        connections=config.limits.connections,
        requests_per_connection=config.limits.requests_per_connection,
        request_head=config.timeouts.request_head,
        request_body=config.timeouts.request_body,
        idle=config.timeouts.idle,
    )


def _head_limits(config: Config) -> HeadLimits:
    limits = config.limits
    return HeadLimits(limits.request_target, limits.request_head, limits.headers)


class _Builder:
    """Makes the parts of one gateway, and collects what does not fit."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._problems: list[Problem] = []
        self._forwarding = Forwarding(
            [ipaddress.ip_network(network) for network in config.trusted_proxies], config.external_url
        )
        self._upstreams = {name: _upstream(name, upstream) for name, upstream in config.upstreams.items()}
        self._issuers = {name: self._issuer(name, issuer) for name, issuer in config.issuers.items()}
        self._vouched = frozenset(name for preset in PRESETS.values() for name in preset) | frozenset(
            name for route in config.routes if isinstance(route.identity, dict) for name in route.identity
        )
        self._verifier = Verifier(
            list(self._issuers.values()),
            max_token=config.limits.token,
            cache=BoundedCache[bytes, Verified](entries=_CACHED_TOKENS, weight=_CACHED_BYTES),
        )

    def gateway(self) -> Gateway:
        config = self._config
        paths = [self._paths(index, route) for index, route in enumerate(config.routes)]
        resources = _resources(config, paths)
        routes = [
            self._route(index, route, paths[index], resources.get(literal_prefix(paths[index][0])))
            for index, route in enumerate(config.routes)
        ]
        router = self._router(routes, paths, resources)
        if self._problems or router is None:
            raise ConfigError(self._problems)
        return Gateway(
            router=router,
            routes={route.name: route for route in routes},
            forwarding=self._forwarding,
            limits=_head_limits(config),
            style=ErrorStyle(config.errors.format, config.errors.expose_reason),
            verifier=self._verifier,
            key_sources={name: issuer.keys for name, issuer in self._issuers.items()},
            pools={name: upstream.pool for name, upstream in self._upstreams.items()},
        )

    # --- issuers -----------------------------------------------------------------------------------------------

    def _issuer(self, name: str, issuer: Issuer) -> TrustedIssuer:
        rules = TokenRules(
            name=name,
            issuer=issuer.issuer,
            audience=frozenset(issuer.audience) or None,
            algorithms=frozenset(issuer.algorithms),
            token_type=issuer.token_type,
            leeway=issuer.leeway,
            max_lifetime=issuer.max_lifetime,
            required_claims=issuer.required_claims,
            scope_claims=issuer.scope_claims,
        )
        return TrustedIssuer(rules, self._keys(name, issuer), self._config.places.where(("issuers", name)))

    def _keys(self, name: str, issuer: Issuer) -> KeySource:
        try:
            if issuer.secret is not None:
                secret = issuer.secret.get_secret_value().encode()
                return StaticKeys(name, from_secret(secret, issuer.algorithms))
            if issuer.jwks is not None:
                # Through the strict reader, so that an inline set is judged like a fetched one.
                return StaticKeys(name, _not_empty(from_jwks(issuer.jwks)))
            if issuer.jwks_file is not None:
                _not_empty(from_jwks(strict_json(Path(issuer.jwks_file).read_bytes())))
                return FileKeys(name, Path(issuer.jwks_file))
        except (Malformed, OSError) as problem:
            key = "jwks_file" if issuer.jwks_file is not None else "jwks" if issuer.jwks is not None else "secret"
            reason = problem.strerror if isinstance(problem, OSError) else problem
            self._problems.append(self._config.places.problem(("issuers", name, key), f"can't be used: {reason}"))
        return _remote_keys(name, issuer)

    # --- routes ------------------------------------------------------------------------------------------------

    def _paths(self, index: int, route: RouteConfig) -> tuple[str, ...]:
        """The route's paths in the one form; what has none is a problem of the configuration."""
        paths = []
        for template in route.path:
            try:
                paths.append(canonical_template(template))
            except GatewayError as error:
                self._report(("routes", index, "path"), f"{template} is refused in requests: {error.evidence}")
                paths.append(template)
        return tuple(paths)

    def _route(
        self, index: int, route: RouteConfig, paths: tuple[str, ...], resource: ProtectedResource | None
    ) -> Route:
        where = functools.partial(self._where, index)
        policy = Policy(
            self._verifier,
            _rules(route.require, where),
            is_public=route.public,
            is_token_optional=route.token == "optional",
            is_enforced=route.enforce,
            notes_fingerprint=self._config.log.tokens,
        )
        return Route(
            route.title,
            policy,
            self._action(index, route),
            None if route.public else resource,
            keeps_encoded_slash=route.encoded_slash == "keep",
            keeps_semicolon=route.semicolon == "keep",
            where=where(),
        )

    def _action(self, index: int, route: RouteConfig) -> Action:
        if route.respond is not None or route.upstream is None:
            return _respond(route)
        upstream = self._upstreams[route.upstream]
        base = urlsplit(self._config.upstreams[route.upstream].address).path.rstrip("/")
        identity = PRESETS[route.identity] if isinstance(route.identity, str) else route.identity
        max_body = route.max_body if route.max_body is not None else self._config.limits.request_body
        return Forward(
            upstream=upstream,
            rewriting=Rewriting(
                "" if upstream.is_unix else base,
                self._canonical(("routes", index, "strip_prefix"), (route.strip_prefix or "").rstrip("/")),
                self._canonical(("routes", index, "rewrite"), route.rewrite) if route.rewrite is not None else None,
            ),
            host=_host_header(route.host_header, upstream.authority),
            request_fields=RequestFields(
                vouched=self._vouched,
                keeps_authorization=route.authorization == "keep",
                removed=route.request_headers.remove,
                added=route.request_headers.set.items(),
            ),
            response_fields=ResponseFields(
                removed=route.response_headers.remove, added=route.response_headers.set.items()
            ),
            identity=Identity(tuple(identity.items())),
            max_body=max_body,
            timeout=route.timeout,
        )

    def _canonical(self, path: Path_, template: str) -> str:
        try:
            return canonical_template(template) if template else ""
        except GatewayError as error:
            self._report(path, f"{template} is refused in requests: {error.evidence}")
            return template

    def _router(
        self, routes: list[Route], paths: list[tuple[str, ...]], resources: Mapping[str, ProtectedResource]
    ) -> Router[Route] | None:
        config = self._config
        patterns = [
            Pattern(route.name, paths[index], route, configured.host or (), configured.methods or ())
            for index, (route, configured) in enumerate(zip(routes, config.routes, strict=True))
        ]
        try:
            return Router([*patterns, *self._metadata(patterns, resources)])
        except RouteConflict as conflict:
            for first, second in conflict.pairs:
                index = next(index for index, route in enumerate(routes) if route.name == second)
                self._report(("routes", index), f"{second} and {first} match the same requests equally well")
            return None

    def _metadata(
        self, patterns: list[Pattern[Route]], resources: Mapping[str, ProtectedResource]
    ) -> Iterator[Pattern[Route]]:
        """Routes for the metadata documents (RFC 9728), for each host that has a protected route."""
        # A route of the configuration for these addresses wins, also one for a whole folder of them.
        taken = {(host, path) for pattern in patterns for host in pattern.hosts or ("",) for path in pattern.paths}
        for host in sorted({host for pattern in patterns for host in pattern.hosts or ("",)}):
            folders = [path for owner, path in taken if owner == host and path.endswith("**")]
            for resource in resources.values():
                if (host, resource.path) in taken or any(_covers(folder, resource.path) for folder in folders):
                    continue
                policy = Policy(self._verifier, Rules(), is_public=True)
                route = Route(f"metadata {resource.path}", policy, MetadataDocument(resource))
                yield Pattern(f"{route.name} {host}", (resource.path,), route, (host,) if host else (), ("GET",))

    # --- places ------------------------------------------------------------------------------------------------

    def _where(self, index: int, *path: str | int) -> str:
        return self._config.places.where(("routes", index, *path))

    def _report(self, path: Path_, message: str) -> None:
        self._problems.append(self._config.places.problem(path, message))


def _not_empty(keys: KeySet) -> KeySet:
    if not keys.keys:
        reasons = "; ".join(keys.skipped)
        raise Malformed(f"no usable key ({reasons})" if reasons else "no key in it")
    return keys


def _remote_keys(name: str, issuer: Issuer) -> RemoteKeys:
    return RemoteKeys(
        name,
        issuer.issuer,
        IssuerClient(timeout=issuer.keys.timeout, allow_http=issuer.allow_http),
        metadata=issuer.metadata,
        jwks_uri=issuer.jwks_uri,
        rules=RefreshRules(issuer.keys.refresh, issuer.keys.cooldown, issuer.keys.max_stale),
        store=KeyStore(Path(issuer.keys.store)) if issuer.keys.store is not None else None,
    )


def _upstream(name: str, upstream: Upstream) -> UpstreamService:
    address = upstream.address
    if address.startswith("unix:"):
        origin, authority = Origin("localhost", 80, unix_path=address.removeprefix("unix:")), "localhost"
    else:
        parts = urlsplit(address)
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or (443 if tls is not None else 80)
        origin, authority = Origin(parts.hostname or "", port, tls=tls), parts.netloc
    timeouts = upstream.timeouts
    pool = Pool(
        origin,
        connect_timeout=timeouts.connect,
        response_timeout=timeouts.response,
        idle_timeout=timeouts.idle,
        keep_alive=upstream.keep_alive,
        max_connections=upstream.max_connections,
    )
    return UpstreamService(name, pool, authority, is_unix=origin.unix_path is not None)


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


def _rules(require: Require, where: Callable[..., str]) -> Rules:
    return Rules(
        issuers=frozenset(require.issuers or ()),
        audience=frozenset(require.audience or ()),
        scopes=require.scopes or (),
        any_scope=require.any_scope or (),
        claims=tuple(
            ClaimRule(claim, tuple(_checks(condition)), where("require", "claims", claim))
            for claim, condition in require.claims.items()
        ),
        uses_parameters=any(condition.parameters for condition in require.claims.values()),
        where=where("require"),
    )


def _checks(condition: Condition) -> Iterator[Check]:
    for operator, operand in condition.operators:
        yield _check(operator, operand)


def _check(operator: str, operand: Any) -> Check:
    if operator == "not":
        return claims.negation(tuple(_checks(operand)))
    if operator == "matches":
        return claims.matches(operand)
    if operator == "exists":
        return claims.exists(operand)
    wanted = tuple(_wanted(member) for member in (operand if isinstance(operand, tuple) else (operand,)))
    if operator in ("equals", "one_of"):
        return claims.one_of(wanted)
    return claims.contains_any(wanted) if operator == "contains_any" else claims.contains_all(wanted)


def _wanted(value: Any) -> Any:
    return Parameter(value.name) if isinstance(value, PathParameter) else value


def _resources(config: Config, paths: list[tuple[str, ...]]) -> dict[str, ProtectedResource]:
    """A protected resource for each literal prefix, and one for the whole; a prefix speaks for all routes below it."""
    protected = [
        (route, literal_prefix(path)) for route, all_ in zip(config.routes, paths, strict=True) for path in all_
    ]
    protected = [(route, prefix) for route, prefix in protected if not route.public]
    resources = {}
    for prefix in sorted({"", *(prefix for _, prefix in protected)}) if protected else ():
        below = [route for route, path in protected if path == prefix or path.startswith(f"{prefix}/")]
        names = [name for route in below for name in route.require.issuers or config.issuers]
        scopes = [
            scope for route in below for scope in (*(route.require.scopes or ()), *(route.require.any_scope or ()))
        ]
        resources[prefix] = ProtectedResource(
            prefix,
            tuple(dict.fromkeys(config.issuers[name].issuer for name in names)),
            tuple(sorted(set(scopes))),
        )
    return resources


def _covers(folder: str, path: str) -> bool:
    """Whether a route like `/.well-known/**` was written for a folder that the metadata address lies in."""
    prefix = literal_prefix(folder)
    return prefix.startswith("/.well-known") and (path == prefix or path.startswith(f"{prefix}/"))
