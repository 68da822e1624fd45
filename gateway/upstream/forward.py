"""Sends an allowed request to its upstream and streams the answer back (RFC 9110 §7, RFC 9112).

Takes a `Permit`: what has not been decided on can't be forwarded.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from gateway import errors
from gateway.access.rules import Permit
from gateway.errors import GatewayError
from gateway.http import client
from gateway.http.client import Pool, UpstreamResponse
from gateway.http.message import Request, Response
from gateway.http.response_head import BODILESS
from gateway.http.response_parser import Interim
from gateway.record import RequestRecord
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.fields import RequestFields, ResponseFields
from gateway.upstream.identity import Identity
from gateway.upstream.inbound import Inbound
from gateway.upstream.service import Upstream
from gateway.upstream.target import Rewriting

_BUSY_RETRY_AFTER = 1
# Methods whose requests announce an empty body too (RFC 9110 §8.6).
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


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

    async def __call__(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> Response:
        """Forward one request. Raises `GatewayError` when there is no answer to pass on."""
        request, body = inbound.request, inbound.request.body
        record.upstream = self.upstream.name
        if body is not None:
            body.limit(self.max_body)
        interim = self._interim(request) if request.interim is not None else None
        started = self.clock()
        pool = self.upstream.direct
        try:
            if pool is not None:
                answer = await self._send(pool, self.head(inbound, permit, record), request, interim)
            else:
                answer = await self._send_to_one_of(inbound, permit, record, interim)
        except client.FAILURES as problem:
            raise self._failure(problem) from problem
        record.upstream_seconds = self.clock() - started
        record.upstream_status = answer.status
        fields = self.response_fields.of(answer.fields)
        if answer.complete and request.method != "HEAD" and answer.status not in BODILESS:
            return Response(answer.status, fields, answer.body, answer.reason)
        return Response(answer.status, fields, b"", answer.reason, answer, answer.length)

    def _send(self, pool: Pool, head: bytes, request: Request, interim: Interim | None) -> Awaitable[UpstreamResponse]:
        body = request.body
        return pool.send(
            head,
            method=request.method,
            body=body,
            chunked=body is not None and body.length is None,
            response_timeout=self.timeout,
            interim=interim,
        )

    async def _send_to_one_of(
        self, inbound: Inbound, permit: Permit, record: RequestRecord, interim: Interim | None
    ) -> UpstreamResponse:
        """The same where there is a choice: each endpoint gets a head of its own."""
        request, upstream = inbound.request, self.upstream

        def attempt(endpoint: Endpoint) -> Awaitable[UpstreamResponse]:
            host = endpoint.site.authority if self.names_endpoint else None
            return self._send(endpoint.pool, self.head(inbound, permit, record, host), request, interim)

        key = upstream.key(inbound, permit) if upstream.key is not None else None
        return await upstream.send(attempt, key=key, method=request.method, has_body=request.body is not None)

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
        return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b%bX-Request-Id: %b\r\nVia: 1.1 oauth-gateway\r\n%b\r\n" % (
            request.method.encode("ascii"),
            target.encode("latin-1"),
            host.encode("ascii"),
            self.request_fields.lines(request.fields),
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
            return GatewayError(errors.UPSTREAM_TIMEOUT, f"{name}: {problem}")
        return GatewayError(errors.UPSTREAM_INVALID, f"{name}: {problem}")

    def _interim(self, request: Request) -> Interim:
        pass_on, fields = cast("Interim", request.interim), self.response_fields
        # 100 answers an expectation, and that is ours to answer: ours has been sent, or none was asked for.
        return lambda status, received: pass_on(status, fields.of(received)) if status != 100 else None


def _framing_line(request: Request) -> bytes:
    body = request.body
    if body is None:
        announced = request.method in _WITH_BODY or b"content-length" in request.fields
        return b"Content-Length: 0\r\n" if announced else b""
    if body.length is None:
        return b"Transfer-Encoding: chunked\r\n"
    return b"Content-Length: %d\r\n" % body.length
