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

    issuers: Texts | None = Field(
        None, description="short names of the issuers whose tokens count; absent: any configured one"
    )
    audience: Texts | None = Field(
        None, description="one of these must be in the token's audience, besides the issuer's own rule"
    )
    scopes: Scopes | None = Field(None, description="scopes of which the token needs all")
    any_scope: Scopes | None = Field(None, description="scopes of which the token needs at least one")
    claims: dict[str, ClaimCondition] = Field({}, description="claims, each with the condition that it must meet")
    acr: Texts | None = Field(None, description="step-up (RFC 9470)")
    max_auth_age: Duration | None = Field(None, description="step-up (RFC 9470)")
    proof: Literal["none", "dpop", "mtls", "any"] = Field("none", description="sender-constrained tokens")
    introspect: bool = Field(False, description="true: the issuer is asked even about JWTs")


class HeaderRules(Block):
    """Header fields that are set or removed."""

    set: dict[HeaderName, HeaderValue] = Field({}, description="fields and the constants that they are set to")
    remove: Annotated[tuple[HeaderName, ...], BeforeValidator(as_tuple)] = Field(
        (), description="fields that are removed"
    )


class RateLimit(Block):
    """How many requests may pass."""

    requests: Positive = Field(description="how many requests")
    per: Duration = Field(description="in how much time")
    by: Text = Field(
        "client_id", description="who shares a bucket: ip, subject, client_id, issuer, route, or claim:name"
    )
    burst: Positive | None = Field(None, description="how many may come at once; absent: as many as requests")


class Cors(Block):
    """Cross-origin requests."""

    origins: Texts = Field(description="allowed origins; https://*.example.com is any name below, * every origin")
    headers: Texts | None = Field(
        None, description="request fields that may be sent; absent: Authorization and Content-Type"
    )
    methods: Methods | None = Field(None, description="methods that may be used; absent: those of the route")
    expose: Texts | None = Field(None, description="response fields that the page may read")
    credentials: bool = Field(False, description="whether cookies may be sent; not with *")
    max_age: Duration = Field(600.0, description="how long the browser remembers the answer to a preflight")


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
    host: Hosts | None = Field(None, description="names it is for; *.example.com is any name below; absent: any")
    path: Paths | None = Field(None, description="{x} is one segment, ** or {x:**} at the end the rest")
    methods: Methods | None = Field(None, description="methods it is for; HEAD is allowed where GET is; absent: any")
    upstream: Text | None = Field(None, description="name of the upstream it goes to")
    respond: Respond | None = Field(None, description="the gateway's own answer, instead of upstream")
    public: bool = Field(False, description="true: no token is needed, and none looked at")
    token: Literal["required", "optional"] = Field("required", description="optional: absent is fine, a bad one is not")
    require: Require = Field(Require(), description="what the token must have")
    enforce: bool = Field(True, description="false: decide, log and count, then forward in any case")
    strip_prefix: PathTemplate | None = Field(
        None, description="what the path sent upstream loses; never the path that is checked"
    )
    rewrite: PathTemplate | None = Field(None, description="the path sent upstream; never the path that is checked")
    host_header: Text = Field("upstream", description="Host sent upstream: upstream, preserve or a literal name")
    authorization: Literal["strip", "keep"] = Field(
        "strip", description="keep: the client's Authorization goes upstream"
    )
    identity: Annotated[
        Literal["x-auth", "oauth2-proxy", "none"] | dict[HeaderName, Text], BeforeValidator(_identity)
    ] = Field("x-auth", description="fields that tell the upstream who asks: a preset, or fields and their claims")
    request_headers: HeaderRules = Field(HeaderRules(), description="changes of the request's fields")
    response_headers: HeaderRules = Field(HeaderRules(), description="changes of the response's fields")
    max_body: Size | None = Field(None, description="largest body, instead of limits.request_body")
    timeout: Duration | None = Field(None, description="instead of the upstream's timeouts.response")
    rate_limit: RateLimit | None = Field(None, description="how often it may be used; over it 429")
    cors: Cors | None = Field(None, description="pages of other origins that may use it; absent: none")
    encoded_slash: Literal["refuse", "keep"] = Field("refuse", description="keep: %2F may stand in a path segment")
    semicolon: Literal["refuse", "keep"] = Field("refuse", description="keep: `;` may stand in a path segment")


class Route(RouteDefaults):
    """Which requests go where, and who may send them."""

    path: Paths = Field(description="{x} is one segment, ** or {x:**} at the end the rest")

    @property
    def title(self) -> str:
        """Its name, or else its methods and path."""
        return self.name or " ".join(filter(None, (",".join(self.methods or ()), ",".join(self.path))))
