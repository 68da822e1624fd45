"""Sends an allowed request to its upstream and streams the answer back (RFC 9110 §7, RFC 9112).

Takes a `Permit`: what has not been decided on can't be forwarded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from gateway import errors
from gateway.access.rules import Permit
from gateway.errors import GatewayError
from gateway.http import client, websocket_handshake
from gateway.http.client import Pool, UpstreamResponse
from gateway.http.max_forwards import forwarded_once, hops_left
from gateway.http.message import Request, Response
from gateway.http.response_head import BODILESS
from gateway.http.response_parser import Interim
from gateway.http.switching import SWITCHING_PROTOCOLS, Switching
from gateway.http.websocket_handshake import Handshake
from gateway.record import RequestRecord
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.fields import RequestFields, ResponseFields
from gateway.upstream.identity import Identity
from gateway.upstream.inbound import Action, Inbound
from gateway.upstream.service import Upstream
from gateway.upstream.target import Rewriting
from gateway.upstream.websocket import switching, without_handshake

logger = logging.getLogger(__name__)

SendBy = Callable[[Pool, str | None], Awaitable[UpstreamResponse]]
"""Sends a request by a pool, and says this Host; None for the route's own."""

_BUSY_RETRY_AFTER = 1
# Methods whose requests announce an empty body too (RFC 9110 §8.6).
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Replaceable(Exception):
    """The upstream closed its kept-alive connection before any byte of a response: the request may go over another.

    `action` sends it.
    """

    def __init__(self, action: Action) -> None:
        super().__init__()
        self.action = action


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """The action of a route that has an upstream. `host` is what Host says there, None to keep the client's.

    With `names_endpoint` Host is that of the endpoint which is chosen, and `host` what `explain` shows.
    """

    upstream: Upstream
    rewriting: Rewriting
    host: str | None
    request_fields: RequestFields
    response_fields: ResponseFields
    identity: Identity
    max_body: int
    timeout: float | None
    names_endpoint: bool = False
    clock: Callable[[], float] = time.perf_counter

    async def __call__(
        self, inbound: Inbound, permit: Permit, record: RequestRecord, *, is_replacement: bool = False
    ) -> Response:
        """Forward one request. Raises `GatewayError` when there is no answer to pass on.

        `is_replacement`: it was begun, and found a connection that had been closed.
        """
        request, body = inbound.request, inbound.request.body
        if inbound.client.is_proxied:
            _check_early_data(request)
        if request.method == "OPTIONS" and b"max-forwards" in request.fields:
            left = hops_left(request.fields)
            if left == 0:
                return Response(204)
            inbound = replace(inbound, request=forwarded_once(request, left))
        record.upstream = self.upstream.name
        if _asks_for_websocket(request):
            return await self._open_websocket(inbound, permit, record)
        if body is not None:
            body.limit(self.max_body)
        interim = self._interim(request) if request.interim is not None else None
        started = self.clock()
        pool = self.upstream.direct
        try:
            if pool is not None:
                answer = await self._send(pool, self.head(inbound, permit, record), request, interim, is_replacement)
            else:
                answer = await self._send_to_one_of(inbound, permit, record, interim)
        except client.FAILURES as problem:
            raise self._failure(problem) from problem
        return self._passed_on(answer, request, record, started)

    def begin(
        self, inbound: Inbound, permit: Permit, record: RequestRecord, done: Callable[[Response | Exception], None]
    ) -> Callable[[], None] | None:
        """Forward a request without a body at once, if a connection rests; None if it has to wait: call it then.

        `done` is called with the response, or with what there is instead: a `Replaceable` when it may be sent again,
        by calling this. What is returned ends it.
        """
        request = inbound.request
        by_name = request.fields.by_name
        pool = self.upstream.direct
        if pool is None or b"upgrade" in by_name or b"early-data" in by_name or request.method == "OPTIONS":
            return None  # there may be more to do than to send it on
        record.upstream = self.upstream.name
        started = self.clock()

        def told(answer: client.UpstreamResponse, failure: Exception | None) -> None:
            if failure is None:
                done(self._passed_on(answer, request, record, started))
            elif self._is_replaceable(connection, failure, request):
                done(Replaceable(partial(self, is_replacement=True)))
            else:
                done(self._failure(failure))

        connection = pool.begin(
            self.head(inbound, permit, record),
            method=request.method,
            response_timeout=self.timeout,
            interim=self._interim(request) if request.interim is not None else None,
            told=told,
        )
        return connection.abort if connection is not None else None

    def _is_replaceable(self, connection: client.Connection | None, failure: Exception, request: Request) -> bool:
        is_lost = isinstance(failure, client.Disconnected) and connection is not None and connection.replaceable
        return is_lost and request.method in client.REPLACEABLE

    def _passed_on(
        self, answer: client.UpstreamResponse, request: Request, record: RequestRecord, started: float
    ) -> Response:
        record.upstream_seconds = self.clock() - started
        record.upstream_status = answer.status
        fields = self.response_fields.of(answer.fields)
        if answer.complete and request.method != "HEAD" and answer.status not in BODILESS:
            return Response(answer.status, fields, answer.body, answer.reason)
        answer.tell_cut(partial(self._cut, record))
        return Response(answer.status, fields, b"", answer.reason, answer, answer.length)

    def _cut(self, record: RequestRecord, problem: Exception) -> None:
        """The body breaks off, for the client too: its status is out, and only the log can say why."""
        error = self._failure(problem)
        record.reason = error.reason.name
        logger.warning("response of %s is cut short: %s: %s", record.request_id, error.reason.name, error.evidence)

    async def _open_websocket(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> Response:
        """Ask the upstream for a WebSocket; what is no 101 is passed on as any other answer (RFC 6455 §4.1).

        An endpoint is chosen, blamed and replaced as for any request: the handshake is a GET without a body.
        """
        request = inbound.request
        handshake = websocket_handshake.read(request)
        interim = self._interim(request) if request.interim is not None else None
        opened: Switching | None = None

        async def send_by(pool: Pool, host: str | None) -> UpstreamResponse:
            nonlocal opened
            head = self._opening_head(handshake, inbound, permit, record, host)
            answer, connection = await pool.switch(head, response_timeout=self.timeout, interim=interim)
            record.upstream_status = answer.status
            if answer.status == SWITCHING_PROTOCOLS:
                opened = switching(handshake, answer, connection, self.response_fields)
            return answer

        started = self.clock()
        pool = self.upstream.direct
        try:
            answer = await (send_by(pool, None) if pool is not None else self._to_one_of(send_by, inbound, permit))
        except client.FAILURES as problem:
            raise self._failure(problem) from problem
        if opened is None:
            return self._passed_on(answer, request, record, started)
        record.upstream_seconds = self.clock() - started
        return opened

    def _opening_head(
        self, handshake: Handshake, inbound: Inbound, permit: Permit, record: RequestRecord, host: str | None
    ) -> bytes:
        head = self.head(replace(inbound, request=without_handshake(inbound.request)), permit, record, host)
        return head[:-2] + handshake.lines + b"\r\n"

    def _send(
        self, pool: Pool, head: bytes, request: Request, interim: Interim | None, is_replacement: bool = False
    ) -> Awaitable[UpstreamResponse]:
        body = request.body
        return pool.send(
            head,
            method=request.method,
            body=body,
            chunked=body is not None and body.length is None,
            response_timeout=self.timeout,
            interim=interim,
            is_replacement=is_replacement,
        )

    async def _send_to_one_of(
        self, inbound: Inbound, permit: Permit, record: RequestRecord, interim: Interim | None
    ) -> UpstreamResponse:
        """The same where there is a choice: each endpoint gets a head of its own."""

        def send_by(pool: Pool, host: str | None) -> Awaitable[UpstreamResponse]:
            return self._send(pool, self.head(inbound, permit, record, host), inbound.request, interim)

        return await self._to_one_of(send_by, inbound, permit)

    async def _to_one_of(self, send_by: SendBy, inbound: Inbound, permit: Permit) -> UpstreamResponse:
        """Send the request to an endpoint, and to another one where the upstream's rules say so."""
        request, upstream = inbound.request, self.upstream

        def attempt(endpoint: Endpoint) -> Awaitable[UpstreamResponse]:
            return send_by(endpoint.pool, endpoint.site.authority if self.names_endpoint else None)

        key = upstream.key(inbound, permit) if upstream.key is not None else None
        return await upstream.send(attempt, key=key, method=request.method, has_body=request.body is not None)

    def sent_head(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> bytes:
        """The request head that the upstream would receive, the handshake of a WebSocket included.

        Raises `GatewayError` for a handshake that is none.
        """
        if not _asks_for_websocket(inbound.request):
            return self.head(inbound, permit, record)
        return self._opening_head(websocket_handshake.read(inbound.request), inbound, permit, record, None)

    def head(self, inbound: Inbound, permit: Permit, record: RequestRecord, host: str | None = None) -> bytes:
        """The request head for the upstream: one canonical request, so no framing of the client's survives.

        `host` stands instead of the route's own.
        """
        request, view = inbound.request, inbound.client
        identity = permit.rendered.get(self.identity)
        if identity is None:
            identity = permit.rendered[self.identity] = self.identity.lines(permit)
        if host is None:
            host = self.host if self.host is not None else view.authority
        target = self.rewriting(inbound.target, inbound.segments)
        return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b%bX-Request-Id: %b\r\n%b\r\n" % (
            request.method.encode("ascii"),
            target.encode("latin-1"),
            host.encode("ascii"),
            self.request_fields.lines(request.fields, request.version),
            identity,
            view.lines,
            record.request_id.encode("ascii"),
            _framing_line(request),
        )

    def _failure(self, problem: Exception) -> GatewayError:
        """What the client is told when there is no answer (RFC 9110 §15.6)."""
        name = self.upstream.name
        if isinstance(problem, client.ConnectFailed):
            return GatewayError(errors.UPSTREAM_UNREACHABLE, f"{name}: {problem}")
        if isinstance(problem, client.PoolTimeout):
            evidence = f"{name}: every connection is busy (max_connections)"
            return GatewayError(errors.UPSTREAM_UNAVAILABLE, evidence, retry_after=_BUSY_RETRY_AFTER)
        if isinstance(problem, client.ConnectTimeout | client.ResponseTimeout | client.IdleTimeout):
            return GatewayError(errors.UPSTREAM_TIMEOUT, f"{name}: {str(problem) or 'no connection in time'}")
        return GatewayError(errors.UPSTREAM_INVALID, f"{name}: {problem}")

    def _interim(self, request: Request) -> Interim:
        pass_on, fields = cast("Interim", request.interim), self.response_fields
        # 100 answers an expectation, and that is ours to answer: ours has been sent, or none was asked for.
        return lambda status, received: pass_on(status, fields.of(received)) if status != 100 else None


def _asks_for_websocket(request: Request) -> bool:
    return b"upgrade" in request.fields.by_name and websocket_handshake.is_asked_for(request.fields)


def _check_early_data(request: Request) -> None:
    """Refuse what a proxy got in TLS 1.3 early data and whose repetition could do harm: anybody may have replayed it
    (RFC 8470 §5.1). Any value of the field counts as 1.
    """
    if b"early-data" in request.fields and request.method not in _SAFE:
        raise GatewayError(errors.TOO_EARLY, f"{request.method} in early data")


def _framing_line(request: Request) -> bytes:
    body = request.body
    if body is None:
        announced = request.method in _WITH_BODY or b"content-length" in request.fields
        return b"Content-Length: 0\r\n" if announced else b""
    if body.length is None:
        return b"Transfer-Encoding: chunked\r\n"
    return b"Content-Length: %d\r\n" % body.length
