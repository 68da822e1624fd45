"""Routes that the gateway answers itself: a fixed response, and the metadata of a protected resource (RFC 9728)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.rules import Permit
from gateway.http.cors import Cors
from gateway.http.message import Field, Response
from gateway.oauth.resource_metadata import ProtectedResource
from gateway.record import RequestRecord
from gateway.upstream.inbound import Inbound


@dataclass(frozen=True, slots=True)
class Respond:
    """A constant response; the request body, if any, is not read."""

    status: int
    body: bytes
    fields: tuple[Field, ...]

    async def __call__(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> Response:
        """Answer without asking anyone."""
        return Response(self.status, self.fields, self.body)


@dataclass(frozen=True, slots=True, eq=False)
class Preflight:
    """Answers a browser's question about a route that allows other origins."""

    cors: Cors

    async def __call__(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> Response:
        """What the route allows."""
        return self.cors.preflight(inbound.request.fields)


@dataclass(frozen=True, slots=True)
class MetadataDocument:
    """Says which issuers and scopes a protected resource goes with. Public, and readable from any origin."""

    resource: ProtectedResource

    async def __call__(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> Response:
        """The document for the address by which the client knows us."""
        fields = (
            (b"Content-Type", b"application/json"),
            (b"Cache-Control", b"public, max-age=3600"),
            # MCP clients in browsers read it across origins; it holds nothing that is not public.
            (b"Access-Control-Allow-Origin", b"*"),
        )
        return Response(200, fields, self.resource.document(inbound.client.origin))
