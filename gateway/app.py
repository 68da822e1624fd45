"""The whole way of one request, top to bottom: `Gateway.handle`; and the decision alone: `Gateway.admit`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiohttp import web

from gateway import errors
from gateway.access.policy import Policy
from gateway.access.revocation import Revoker
from gateway.access.revocation_feed import RevocationFeed
from gateway.access.rules import Permit
from gateway.access.standing import Standing, Watch
from gateway.access.verification import TrustedIssuer, Verifier
from gateway.cache.redis import SharedStore
from gateway.errors import GatewayError
from gateway.http import cors
from gateway.http.cors import Cors
from gateway.http.forwarding import ClientView, Forwarding, traceparent
from gateway.http.framing import HeadLimits, check_head
from gateway.http.message import Answering, Field, Fields, Request, Response
from gateway.http.switching import SWITCHING_PROTOCOLS, Switching, Tunnel
from gateway.http.target import Target, normalise
from gateway.http.websocket_frames import GOING_AWAY, POLICY_VIOLATION, TRY_AGAIN_LATER
from gateway.oauth.resource_metadata import ProtectedResource
from gateway.parts import Parts
from gateway.record import RequestRecord
from gateway.responses import ErrorStyle, refuse
from gateway.router import Match, Router
from gateway.upstream.forward import Replaceable
from gateway.upstream.inbound import Action, Inbound
from gateway.upstream.service import Upstream

if TYPE_CHECKING:
    from gateway.config import Config

_NO_PARAMETERS: Mapping[str, str] = {}

OWN_PREFIX = "/_gateway"
"""Below it the gateway answers for itself, whatever the routes say."""

_CLIENT_CLOSED = 499
"""What log and metrics say of a client that went away before its answer: there is no such status on the wire."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One route, compiled: who may use it, and what then happens. `where` is its line in the configuration."""

    name: str
    policy: Policy
    action: Action
    resource: ProtectedResource | None = None
    keeps_encoded_slash: bool = False
    keeps_semicolon: bool = False
    where: str = ""
    cors: Cors | None = None
    preflight: Route | None = None
    """What answers a browser that asks about this route (`cors`)."""
    begin: BeginForward | None = None
    """The action begun without a coroutine, where it can be (`Forward.begin`)."""


class Counted(Protocol):
    """What a client sent."""

    @property
    def received(self) -> int:
        """Its bytes so far."""
        ...


BeginForward = Callable[
    [Inbound, Permit, RequestRecord, Callable[[Response | Exception], None]], Callable[[], None] | None
]

Located = tuple[Route, Inbound, Mapping[str, str]]
"""What is asked for: the route, the request as it stands there, and what its rules compare with."""

Admission = tuple[Route, Inbound, Permit]
"""A request that may pass: on which route, as what, by which permit."""


@dataclass(slots=True, eq=False)
class Gateway:
    """The compiled configuration. It never changes; a new configuration is a new gateway.

    `on_closed` is called with the record of each request when its response has been sent: the only place that counts.
    """

    router: Router[Route]
    routes: Mapping[str, Route]
    forwarding: Forwarding
    limits: HeadLimits
    style: ErrorStyle
    verifier: Verifier
    issuers: Mapping[str, TrustedIssuer]
    upstreams: Mapping[str, Upstream]
    revoker: Revoker
    own: Router[Route]
    store: SharedStore | None = None
    feed: RevocationFeed | None = None
    on_closed: list[Callable[[RequestRecord], None]] = field(default_factory=list)
    clock: Callable[[], float] = time.perf_counter
    in_flight: int = 0
    watch: Watch = field(default_factory=Watch)

    @property
    def parts(self) -> Parts:
        """What runs in the background, or has connections."""
        issuers = self.issuers.values()
        introspections = [issuer.introspection for issuer in issuers if issuer.introspection is not None]
        return Parts([issuer.keys for issuer in issuers], introspections, list(self.upstreams.values()))

    async def start(self) -> None:
        """Read the revocations, and begin to watch upstreams and fetch the issuers' keys, without waiting for them."""
        if self.feed is not None:
            await self.feed.start()
        await self.parts.start()

    async def close(self) -> None:
        """Stop what runs in the background and close the idle connections."""
        await self.watch.close()
        await self.parts.close()
        if self.feed is not None:
            await self.feed.close()
        if self.store is not None:
            await self.store.close()

    async def wait_for_keys(self, timeout: float) -> None:
        """Wait until every issuer has been asked once, at most `timeout` seconds; used by `explain`."""
        await self.parts.first_keys(timeout)

    async def handle(self, request: Request) -> Response:
        """Answer one request: decide, then do what its route says, or refuse."""
        record = self.open_record(request)
        self.in_flight += 1
        return await self._answer(request, record)

    def begin(self, request: Request, answering: Answering) -> None:
        """`handle` without a coroutine, where nothing has to be waited for but the upstream: a known token, no body, an
        upstream with a connection at rest. It saves a third of a request's CPU time (docs/decisions/0015).
        """
        record = self.open_record(request)
        self.in_flight += 1
        cancel = located = None
        try:
            located = self._locate(request, record)
            route, inbound, _ = located
            permit = route.policy.recall(request.fields, record)
            if permit is not None and request.body is None and route.begin is not None:
                self._allowed(record)
                done = partial(self._forwarded, request, record, answering)
                cancel = route.begin(inbound, permit, record, done)
        except GatewayError as error:
            answering.respond(request, self._ended(self._refuse(error, request, record), request, record))
            return
        except Exception:
            answering.respond(request, self._ended(self._failed(request, record), request, record))
            return
        if cancel is None:
            answering.run(request, self._answer(request, record, located))
        else:
            answering.may_end_by(partial(self._abandoned, record, cancel))

    def _forwarded(
        self,
        request: Request,
        record: RequestRecord,
        answering: Answering,
        outcome: Response | Exception,
    ) -> None:
        """The upstream has answered what `begin` sent it, or something came instead."""
        if record.status == _CLIENT_CLOSED:
            self._close(record, None, _CLIENT_CLOSED, 0, False)
        elif isinstance(outcome, Response):
            answering.respond(request, self._ended(outcome, request, record))
        elif isinstance(outcome, GatewayError):
            answering.respond(request, self._ended(self._refuse(outcome, request, record), request, record))
        else:
            action = outcome.action if isinstance(outcome, Replaceable) else None
            answering.run(request, self._answer(request, record, None, action))

    def _abandoned(self, record: RequestRecord, cancel: Callable[[], None]) -> None:
        record.status = _CLIENT_CLOSED
        cancel()

    async def _answer(
        self,
        request: Request,
        record: RequestRecord,
        located: Located | None = None,
        action: Action | None = None,
    ) -> Response:
        try:
            route, inbound, parameters = located or self._locate(request, record)
            permit = route.policy.recall(request.fields, record)
            if permit is None:
                permit = await route.policy.decide(request, parameters, record)
            self._allowed(record)
            response = await (action or route.action)(inbound, permit, record)
            if route.cors is not None or record.limit_fields:
                response.fields = _told(route, request.fields, record, response.fields)
            if response.status == SWITCHING_PROTOCOLS:
                return self._watched(cast("Switching", response), route, request, parameters, record)
        except GatewayError as error:
            response = self._refuse(error, request, record)
        except asyncio.CancelledError:
            self._close(record, request.body, _CLIENT_CLOSED, 0, False)
            raise
        except Exception:
            response = self._failed(request, record)
        return self._ended(response, request, record)

    def _failed(self, request: Request, record: RequestRecord) -> Response:
        logger.exception("request %s failed", record.request_id)
        return self._refuse(GatewayError(errors.INTERNAL), request, record)

    def _ended(self, response: Response, request: Request, record: RequestRecord) -> Response:
        response.upon_end = partial(self._close, record, request.body, response.status)
        return response

    def _watched(
        self, response: Switching, route: Route, request: Request, parameters: Mapping[str, str], record: RequestRecord
    ) -> Response:
        """A WebSocket goes on for as long as the token that opened it holds (RFC 6455 §7.4.1: 1008)."""
        tunnel = response.tunnel
        end = partial(self._end_tunnel, tunnel, record)
        standing = self.watch.begin(route.policy, request, parameters, end)
        response.upon_end = partial(self._tunnel_ended, standing, tunnel, record)
        return response

    def _end_tunnel(self, tunnel: Tunnel, record: RequestRecord, error: GatewayError) -> None:
        record.reason = error.reason.name
        logger.debug("closing WebSocket %s: %s: %s", record.request_id, error.reason.name, error.evidence)
        code = TRY_AGAIN_LATER if error.reason.status >= 500 else POLICY_VIOLATION
        if error.reason is errors.DRAINING:
            code = GOING_AWAY
        tunnel.end(code, error.reason.name if self.style.expose_reason else "")

    def _tunnel_ended(self, standing: Standing, tunnel: Tunnel, record: RequestRecord, sent: int, whole: bool) -> None:
        self.watch.finish(standing)
        self._close(record, tunnel, SWITCHING_PROTOCOLS, sent, whole)

    def open_record(self, request: Request) -> RequestRecord:
        """A new record, with what is known before anything has been checked."""
        fields = request.fields
        record = RequestRecord(request.method, self.clock(), self.forwarding.request_id(request.peer, fields))
        if b"traceparent" in fields.by_name:
            record.traceparent, record.trace_id = traceparent(fields)
        return record

    async def admit(self, request: Request, record: RequestRecord) -> Admission:
        """Decide about one request, in the order of the checks. Raises `GatewayError`."""
        route, inbound, parameters = self._locate(request, record)
        permit = await route.policy.decide(request, parameters, record)
        self._allowed(record)
        return route, inbound, permit

    def _locate(self, request: Request, record: RequestRecord) -> Located:
        """What is asked for: the one path, how the client sees us, the route, and what its rules compare with."""
        check_head(request, self.limits)
        target = normalise(request.target, request.method)
        record.path = target.path
        if record.steps is not None:
            record.note("target", True, f"the one path is {target.path}")
        client = self.forwarding.client(request.peer, request.fields, request.scheme, target.authority)
        record.client_ip, record.host, record.origin = client.ip, client.host, client.origin
        match = self._match(target, client, request)
        route = match.value
        record.route = route.name
        record.note("route", True, route.name, route.where)
        if target.has_encoded_slash or target.has_semicolon:
            _check_path(target, route)
        parameters = match.parameters if route.policy.rules.uses_parameters else _NO_PARAMETERS
        return route, Inbound(request, target, client, match.segments), parameters

    def place(self, request: Request) -> tuple[Policy, Mapping[str, str]]:
        """What decides about a request, and what its rules compare with. Raises `GatewayError` where nothing does."""
        route, _, parameters = self._locate(request, self.open_record(request))
        return route.policy, parameters

    def _allowed(self, record: RequestRecord) -> None:
        record.auth_seconds = self.clock() - record.started
        if record.decision is None:
            record.decision = "allow"

    def _match(self, target: Target, client: ClientView, request: Request) -> Match[Route]:
        if target.authority is not None and not self.router.serves(client.host):
            raise GatewayError(errors.HOST_INVALID, "the absolute-form target names a host that no route serves")
        method, path = request.method, target.path
        if method == "OPTIONS" and cors.is_preflight(method, request.fields):
            preflight = self._preflight(target, client, request.fields)
            if preflight is not None:
                return preflight
        if path.startswith(OWN_PREFIX) and path[len(OWN_PREFIX) :][:1] in ("", "/"):
            return self.own.match(client.host, path, method)
        if target.has_encoded_slash or target.has_semicolon:
            return self._found(target, client, method)
        return self.router.match(client.host, path, method)

    def _preflight(self, target: Target, client: ClientView, fields: Fields) -> Match[Route] | None:
        """What answers a browser that asks about the route it names the method of; None where no route wants to."""
        try:
            match = self.router.match(client.host, target.path, cors.asked_method(fields))
        except GatewayError:
            return None
        return Match(match.value.preflight, match.segments) if match.value.preflight is not None else None

    def _found(self, target: Target, client: ClientView, method: str) -> Match[Route]:
        try:
            return self.router.match(client.host, target.path, method)
        except GatewayError as error:
            # Only a route can allow these, and none did.
            raise GatewayError(errors.PATH_AMBIGUOUS, "%2F or `;` in a path that no route is for") from error

    def _refuse(self, error: GatewayError, request: Request, record: RequestRecord) -> Response:
        record.reason = error.reason.name
        record.scopes_missing = error.scopes_missing
        # What fails behind the permit (an upstream, a body) was allowed all the same.
        record.decision = record.decision or "refuse"
        if record.auth_seconds == 0.0:
            record.auth_seconds = self.clock() - record.started
        # What clients cause must not fill the log; the access log has the reason, and `explain` the rest.
        level = logging.WARNING if error.reason.status >= 500 else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "refused %s: %s: %s", record.request_id, error.reason.name, error.evidence)
        route = self.routes.get(record.route) if record.route is not None else None
        if route is None or route.resource is None:
            response = refuse(error, request_id=record.request_id, style=self.style)
        else:
            response = refuse(
                error,
                request_id=record.request_id,
                style=self.style,
                scopes=route.policy.rules.challenge_scopes,
                resource_metadata=route.resource.address(record.origin),
            )
        if route is not None and route.cors is not None:
            # A browser shows a refusal to the page that asked only if it is told that it may.
            response.fields = route.cors.told(request.fields, response.fields)
        return response

    def _close(self, record: RequestRecord, body: Counted | None, status: int, sent: int, whole: bool) -> None:
        self.in_flight -= 1
        record.status = status
        record.bytes_out = sent
        record.bytes_in = body.received if body is not None else 0
        record.seconds = self.clock() - record.started
        for observe in self.on_closed:
            observe(record)


def _told(route: Route, asked: Fields, record: RequestRecord, fields: Sequence[Field]) -> Sequence[Field]:
    """The fields of a response with what the route adds: what is left of a limit, what browsers may do."""
    told = [*fields, *record.limit_fields]
    return route.cors.told(asked, told) if route.cors is not None else told


def _check_path(target: Target, route: Route) -> None:
    if target.has_encoded_slash and not route.keeps_encoded_slash:
        raise GatewayError(errors.PATH_AMBIGUOUS, "%2F in the path; encoded_slash: keep allows it", where=route.where)
    if target.has_semicolon and not route.keeps_semicolon:
        raise GatewayError(errors.PATH_AMBIGUOUS, "`;` in the path; semicolon: keep allows it", where=route.where)


def make_app(config: Config | Mapping[str, Any] | str | Path) -> web.Application:
    """The gateway for a configuration: a `Config`, the same as a mapping, or the path of a file or folder.

    Raises `gateway.config.ConfigError` with every problem of the configuration.
    """
    # Only `build` knows configuration, and it stands above this module: see docs/decisions/0007.
    from gateway import build

    return build.make_application(config)
