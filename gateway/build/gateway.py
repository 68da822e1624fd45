"""Puts a gateway together from its parts: issuers, routes, the router over them, and what all of them share."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.access.policy import Policy
from gateway.access.rules import Rules
from gateway.access.standing import Watch
from gateway.access.verification import Verified, Verifier
from gateway.app import OWN_PREFIX, Gateway, Route
from gateway.backchannel_logout import BackchannelLogout
from gateway.build.crew import Crew
from gateway.build.issuers import IssuerBuilder, KnownIssuer
from gateway.build.limits import head_limits
from gateway.build.report import Report
from gateway.build.resources import covers, is_metadata_folder, protected_resources
from gateway.build.routes import RouteBuilder
from gateway.build.shared import Shared, carried_over, shared_state
from gateway.build.stand_in import StandIn
from gateway.build.upstreams import UpstreamBuilder
from gateway.cache.memory import BoundedCache
from gateway.config import Config, ConfigError
from gateway.config.upstreams import Upstream as UpstreamConfig
from gateway.http.forwarding import Forwarding
from gateway.oauth.resource_metadata import ProtectedResource
from gateway.responses import ErrorStyle
from gateway.router import Pattern, RouteConflict, Router, literal_prefix
from gateway.upstream.names import Lookup
from gateway.upstream.respond import MetadataDocument
from gateway.upstream.service import Upstream

# A verified-token cache: a token of usual size weighs about 1 KB, its claims several times that. Any worker may be sent
# any token, so each needs room for all of them: up to four have a whole cache, more share what four would have.
_CACHED_TOKENS = 10_000
_CACHED_BYTES = 32 * 2**20
_WHOLE_CACHES = 4


@dataclass(frozen=True, slots=True)
class Built:
    """A gateway and what it was made from, for the one that takes its place."""

    gateway: Gateway
    config: Config
    shared: Shared
    issuers: Mapping[str, KnownIssuer]

    @property
    def upstreams(self) -> Mapping[str, tuple[UpstreamConfig, Upstream]]:
        """The block and the service of each upstream."""
        return {name: (self.config.upstreams[name], service) for name, service in self.gateway.upstreams.items()}


class GatewayBuilder:
    """Makes the parts of one gateway, and collects what does not fit."""

    def __init__(
        self,
        config: Config,
        crew: Crew,
        lookup: Lookup,
        before: Built | None = None,
        *,
        stand_ins: Mapping[str, StandIn] | None = None,
    ) -> None:
        self._config = config
        self._report = Report(config)
        self._before = before
        if before is None:
            self._shared = shared_state(config, self._report, crew)
        else:
            self._shared = carried_over(before.shared, config, before.config)
        known = before.issuers if before is not None else {}
        issuers = IssuerBuilder(self._report, self._shared, known, stand_ins or {})
        self._known_issuers = {name: issuers.known(name, issuer) for name, issuer in config.issuers.items()}
        self._issuers = {name: known.trusted for name, known in self._known_issuers.items()}
        self._verifier = Verifier(
            list(self._issuers.values()),
            max_token=config.limits.token,
            cache=_tokens(crew),
            introspected=_tokens(crew),
        )
        upstreams = UpstreamBuilder(self._report, lookup, before.upstreams if before is not None else {})
        self._upstreams = {name: upstreams.service(name, upstream) for name, upstream in config.upstreams.items()}
        self._routes = RouteBuilder(config, self._report, self._verifier, self._shared, self._upstreams)

    def built(self) -> Built:
        """The gateway, with what the next one can have of it. Raises `ConfigError` with every problem."""
        return Built(self._gateway(), self._config, self._shared, self._known_issuers)

    def _gateway(self) -> Gateway:
        config = self._config
        paths = [self._routes.paths(index, route) for index, route in enumerate(config.routes)]
        resources = protected_resources(config, paths)
        routes = [
            self._routes.route(index, route, resources.get(literal_prefix(paths[index][0])))
            for index, route in enumerate(config.routes)
        ]
        router = self._router(routes, paths, resources)
        if self._report.problems or router is None:
            raise ConfigError(self._report.problems)
        return Gateway(
            router=router,
            own=self._own_routes(),
            routes={route.name: route for route in routes},
            forwarding=Forwarding(
                [ipaddress.ip_network(network) for network in config.trusted_proxies], config.external_url
            ),
            limits=head_limits(config),
            style=ErrorStyle(config.errors.format, config.errors.expose_reason),
            verifier=self._verifier,
            issuers=self._issuers,
            upstreams=self._upstreams,
            revoker=self._shared.revoker,
            store=self._shared.store,
            feed=self._shared.feed,
            # Whoever looks after WebSockets goes on: they outlive the gateway that let them in.
            watch=self._before.gateway.watch if self._before is not None else Watch(),
        )

    def _own_routes(self) -> Router[Route]:
        """What the gateway answers for itself, whatever the routes say."""
        patterns = []
        for name, issuer in self._config.issuers.items():
            if issuer.backchannel_logout:
                path = f"{OWN_PREFIX}/backchannel-logout/{name}"
                own_name = issuer.introspection.client_id if issuer.introspection is not None else None
                audience = frozenset({*issuer.audience, own_name or ""} - {""}) if issuer.audience else None
                action = BackchannelLogout(
                    self._issuers[name],
                    audience,
                    self._shared.revoker,
                    self._shared.logouts,
                    self._config.limits.token,
                )
                route = Route(f"backchannel-logout {name}", self._open_policy(), action)
                patterns.append(Pattern(route.name, (path,), route, methods=("POST",)))
        return Router(patterns)

    def _open_policy(self) -> Policy:
        return Policy(self._verifier, self._shared.deny_list, Rules(), is_public=True)

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
                self._report.add(("routes", index), f"{second} and {first} match the same requests equally well")
            return None

    def _metadata(
        self, patterns: list[Pattern[Route]], resources: Mapping[str, ProtectedResource]
    ) -> Iterator[Pattern[Route]]:
        """Routes for the metadata documents (RFC 9728), for each host that has a protected route."""
        # A route of the configuration for these addresses wins, also one for a whole folder of them.
        taken = {(host, path) for pattern in patterns for host in pattern.hosts or ("",) for path in pattern.paths}
        for host in sorted({host for pattern in patterns for host in pattern.hosts or ("",)}):
            folders = [path for owner, path in taken if owner == host and is_metadata_folder(path)]
            for resource in resources.values():
                if (host, resource.path) in taken or any(covers(folder, resource.path) for folder in folders):
                    continue
                route = Route(f"metadata {resource.path}", self._open_policy(), MetadataDocument(resource))
                yield Pattern(f"{route.name} {host}", (resource.path,), route, (host,) if host else (), ("GET",))


def _tokens(crew: Crew) -> BoundedCache[bytes, Verified]:
    return BoundedCache(
        entries=min(_CACHED_TOKENS, crew.share(_WHOLE_CACHES * _CACHED_TOKENS)),
        weight=min(_CACHED_BYTES, crew.share(_WHOLE_CACHES * _CACHED_BYTES)),
    )
