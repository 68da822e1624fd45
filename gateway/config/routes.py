"""The `routes` of the configuration as types: which requests go where, who may send them, what changes on the way."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gateway.config.block import Block, Positive, as_tuple
from gateway.config.conditions import ClaimCondition
from gateway.config.values import (
    Duration,
    HeaderName,
    HeaderValue,
    Hosts,
    Methods,
    Paths,
    PathTemplate,
    Scopes,
    Size,
    Text,
    Texts,
    kind,
)

Status = Annotated[int, Field(ge=200, le=599)]


class Respond(Block):
    """A fixed answer."""

    status: Status = Field(200, description="its status code")
    body: str = Field("", description="its body")
    content_type: HeaderValue = Field("text/plain; charset=utf-8", description="of the body")


class Require(Block):
    """What a route asks of a token."""

    issuers: Texts | None = Field(None, description="absent: any configured issuer")
    audience: Texts | None = Field(None, description="besides the issuer's own audience rule")
    scopes: Scopes | None = Field(None, description="all of these")
    any_scope: Scopes | None = Field(None, description="and at least one of these")
    claims: dict[str, ClaimCondition] = Field({}, description="all of these")
    acr: Texts | None = Field(None, description="step-up (RFC 9470)")
    max_auth_age: Duration | None = Field(None, description="step-up (RFC 9470)")
    proof: Literal["none", "dpop", "mtls", "any"] = Field("none", description="sender-constrained tokens")
    introspect: bool = Field(False, description="ask the issuer even for JWTs")


class HeaderRules(Block):
    """Header fields that are set or removed."""

    set: dict[HeaderName, HeaderValue] = Field({}, description="set to a constant")
    remove: Annotated[tuple[HeaderName, ...], BeforeValidator(as_tuple)] = Field((), description="removed")


class RateLimit(Block):
    """How many requests may pass."""

    requests: Positive = Field(description="how many")
    per: Duration = Field(description="in which time")
    by: Text = Field("client_id", description="ip, subject, client_id, issuer, claim:<name> or route")
    burst: Positive | None = Field(None, description="bucket size")


class Cors(Block):
    """Cross-origin requests."""

    origins: Texts = Field(description="allowed origins")
    headers: Texts | None = Field(None, description="allowed request header fields")
    methods: Methods | None = Field(None, description="allowed methods")
    expose: Texts | None = Field(None, description="readable response header fields")
    credentials: bool = Field(False, description="cookies and the like")
    max_age: Duration = Field(600.0, description="how long a preflight is remembered")


def _identity(value: object) -> object:
    if isinstance(value, str) and value not in ("x-auth", "oauth2-proxy", "none"):
        raise ValueError("must be x-auth, oauth2-proxy, none, or a block of header names and claims")
    if not isinstance(value, str | dict):
        raise ValueError(
            f"must be x-auth, oauth2-proxy, none, or a block of header names and claims, not {kind(value)}"
        )
    return value


class RouteDefaults(Block):
    """Anything a route may say, for all routes that do not say it."""

    name: Text | None = Field(None, description="unique; default: methods and path")
    host: Hosts | None = Field(None, description="absent: any; *.example.com is any name below")
    path: Paths | None = Field(None, description="{x}: one segment; ** at the end: the rest")
    methods: Methods | None = Field(None, description="absent: any; HEAD is allowed where GET is")
    upstream: Text | None = Field(None, description="the name of an upstream")
    respond: Respond | None = Field(None, description="or a fixed answer")
    public: bool = Field(False, description="no token needed, none looked at")
    token: Literal["required", "optional"] = Field("required", description="optional: absent is fine, a bad one is not")
    require: Require = Field(Require(), description="what the token must have")
    enforce: bool = Field(True, description="false: decide, log and count, then forward in any case")
    strip_prefix: PathTemplate | None = Field(None, description="not sent upstream")
    rewrite: PathTemplate | None = Field(None, description="the path sent upstream")
    host_header: Text = Field("upstream", description="upstream, preserve or a literal name")
    authorization: Literal["strip", "keep"] = Field("strip", description="the client's Authorization upstream")
    identity: Annotated[
        Literal["x-auth", "oauth2-proxy", "none"] | dict[HeaderName, Text], BeforeValidator(_identity)
    ] = Field("x-auth", description="header fields that tell the upstream who is asking")
    request_headers: HeaderRules = Field(HeaderRules(), description="towards the upstream")
    response_headers: HeaderRules = Field(HeaderRules(), description="towards the client")
    max_body: Size | None = Field(None, description="instead of limits.request_body")
    timeout: Duration | None = Field(None, description="instead of the upstream's response timeout")
    rate_limit: RateLimit | None = Field(None, description="how many requests may pass")
    cors: Cors | None = Field(None, description="cross-origin requests")
    encoded_slash: Literal["refuse", "keep"] = Field("refuse", description="%2F in a path segment")
    semicolon: Literal["refuse", "keep"] = Field("refuse", description="`;` in a path segment")


class Route(RouteDefaults):
    """Which requests go where, and who may send them."""

    path: Paths = Field(description="{x}: one segment; ** at the end: the rest")

    @property
    def title(self) -> str:
        """Its name, or else its methods and path."""
        return self.name or " ".join(filter(None, (",".join(self.methods or ()), ",".join(self.path))))
