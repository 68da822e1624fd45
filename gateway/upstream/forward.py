"""Sends an allowed request to its upstream and streams the answer back (RFC 9110 §7, RFC 9112).

Takes a `Permit`: what has not been decided on can't be forwarded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway import errors
from gateway.access.rules import Permit
from gateway.errors import GatewayError
from gateway.http import client
from gateway.http.message import Field, Request, Response, Truncated
from gateway.record import RequestRecord
from gateway.upstream.fields import RequestFields, ResponseFields
from gateway.upstream.identity import Identity
from gateway.upstream.inbound import Inbound
from gateway.upstream.target import Rewriting

VIA = b"Via: 1.1 oauth-gateway\r\n"
_BUSY_RETRY_AFTER = 1
# Methods whose requests announce an empty body too (RFC 9110 §8.6).
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_BODILESS = frozenset({204, 304})


@dataclass(slots=True, eq=False)
class Upstream:
    """A service behind the gateway, by its name in the configuration: where it is and its connections."""

    name: str
    pool: client.Pool
    authority: str
    is_unix: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """The action of a route that has an upstream. `host` is what Host says there, None to keep the client's."""

    upstream: Upstream
    rewriting: Rewriting
    host: str | None
    request_fields: RequestFields
    response_fields: ResponseFields
    identity: Identity
    max_body: int
    timeout: float | None
    clock: Callable[[], float] = time.perf_counter

    async def __call__(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> Response:
        """Forward one request. Raises `GatewayError` when there is no answer to pass on."""
        request = inbound.request
        record.upstream = self.upstream.name
        if request.body is not None:
            request.body.limit(self.max_body)
        head = self.head(inbound, permit, record)
        started = self.clock()
        answer = await self._send(head, request)
        record.upstream_seconds = self.clock() - started
        record.upstream_status = answer.status
        return self._response(answer, request)

    def head(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> bytes:
        """The request head for the upstream: one canonical request, so no framing of the client's survives."""
        request = inbound.request
        identity = permit.rendered.get(self.identity)
        if identity is None:
            identity = permit.rendered[self.identity] = self.identity.lines(permit)
        host = self.host if self.host is not None else inbound.client.authority
        target = self.rewriting(inbound.target, inbound.segments)
        return b"".join(
            (
                f"{request.method} {target} HTTP/1.1\r\nHost: {host}\r\n".encode("latin-1"),
                self.request_fields.lines(request.fields),
                identity,
                inbound.client.lines,
                b"X-Request-Id: %b\r\n" % record.request_id.encode("ascii"),
                VIA,
                _framing_line(request),
                b"\r\n",
            )
        )

    async def _send(self, head: bytes, request: Request) -> client.UpstreamResponse:
        body = request.body
        try:
            return await self.upstream.pool.send(
                head,
                method=request.method,
                body=body,
                chunked=body is not None and body.length is None,
                response_timeout=self.timeout,
                interim=self._interim(request),
            )
        except client.ConnectFailed as problem:
            raise GatewayError(errors.UPSTREAM_UNREACHABLE, f"{self.upstream.name}: {problem}") from problem
        except client.PoolTimeout as problem:
            evidence = f"{self.upstream.name}: every connection is busy (max_connections)"
            raise GatewayError(errors.UPSTREAM_UNAVAILABLE, evidence, retry_after=_BUSY_RETRY_AFTER) from problem
        except (client.ConnectTimeout, client.ResponseTimeout, client.IdleTimeout) as problem:
            raise GatewayError(errors.UPSTREAM_TIMEOUT, f"{self.upstream.name}: {problem}") from problem
        except (client.ResponseInvalid, client.Disconnected, Truncated) as problem:
            raise GatewayError(errors.UPSTREAM_INVALID, f"{self.upstream.name}: {problem}") from problem

    def _interim(self, request: Request) -> Callable[[int, Sequence[Field]], None] | None:
        if request.interim is None:
            return None
        pass_on, fields = request.interim, self.response_fields
        # 100 answers an expectation, and that is ours to answer: ours has been sent, or none was asked for.
        return lambda status, received: pass_on(status, fields.of(received)) if status != 100 else None

    def _response(self, answer: client.UpstreamResponse, request: Request) -> Response:
        fields = self.response_fields.of(answer.fields)
        if answer.complete and request.method != "HEAD" and answer.status not in _BODILESS:
            return Response(answer.status, fields, answer.body, reason=answer.reason)
        return Response(answer.status, fields, reason=answer.reason, stream=answer, length=answer.length)


def _framing_line(request: Request) -> bytes:
    body = request.body
    if body is None:
        announced = request.method in _WITH_BODY or b"content-length" in request.fields
        return b"Content-Length: 0\r\n" if announced else b""
    if body.length is None:
        return b"Transfer-Encoding: chunked\r\n"
    return b"Content-Length: %d\r\n" % body.length
