"""The configuration as types: one class a block of the YAML, one field a key. Durations are seconds, sizes bytes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from gateway.config.block import Block, Count, Positive, Secret, Secrets, as_tuple
from gateway.config.issuers import Issuer
from gateway.config.routes import Route, RouteDefaults
from gateway.config.upstreams import Upstream
from gateway.config.values import (
    Address,
    Addresses,
    Duration,
    Networks,
    Size,
    Text,
    Url,
)


class Tls(Block):
    """The certificates of the listener, and those it asks of clients."""

    certificate: Text | None = Field(None, description="PEM file with the certificate chain, the server's own first")
    private_key: Text | None = Field(None, description="PEM file with its private key")
    client_ca: Text | None = Field(None, description="PEM file with the CAs that sign certificates of clients")
    client_certificate: Literal["none", "optional", "required"] = Field(
        "none", description="whether clients are asked for a certificate; required: none without one"
    )


def _empty_if_absent(value: object) -> object:
    # `${ADMIN_TOKEN:-}` is nothing to YAML while the variable is not set.
    return "" if value is None else value


class Admin(Block):
    """The listener for operators: health, metrics and /api."""

    listen: Address = Field("127.0.0.1:9090", description="where operators connect; never the traffic port")
    token: Annotated[Secret, BeforeValidator(_empty_if_absent)] = Field(
        SecretStr(""), description="bearer token for /api; empty: /api is off"
    )


class FailedAuthentication(Block):
    """A limit on failed authentication per client address."""

    requests: Count = Field(
        0, description="failures that an address has in hand; over it 429 before any verification. 0: off"
    )
    per: Duration = Field(60.0, description="the time in which they are given back")


class Limits(Block):
    """Sizes and numbers beyond which requests are refused."""

    request_head: Size = Field(32 * 1024, description="request line and header fields; over it 431")
    request_target: Size = Field(8 * 1024, description="the request target; over it 414")
    headers: Positive = Field(100, description="number of header fields; over it 431")
    request_body: Size = Field(10 * 1024 * 1024, description="over it 413; 0: no limit; a route's max_body wins")
    token: Size = Field(16 * 1024, description="an access token; over it 401")
    connections: Positive = Field(10_000, description="open client connections; over it 503")
    failed_authentication: FailedAuthentication = Field(
        FailedAuthentication(), description="how often a client address may fail to authenticate"
    )
    requests_per_connection: Count = Field(0, description="then the connection closes; 0: no limit")


class Timeouts(Block):
    """How long the gateway waits for clients, and for itself."""

    request_head: Duration = Field(10.0, description="from the first byte to the end of the head; over it 408")
    request_body: Duration = Field(30.0, description="longest silence while a body is being read; over it 408")
    idle: Duration = Field(75.0, description="how long a kept-alive connection may be without a request")
    drain_delay: Duration = Field(0.0, description="on SIGTERM: not ready, but keep accepting this long")
    drain: Duration = Field(30.0, description="then: how long running requests may take to finish")


class Redis(Block):
    """A Redis shared by all replicas."""

    url: Secret = Field(
        description="its address: redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://"
    )
    key_prefix: Text = Field("oauth-gateway:", description="what every key there begins with")
    secret: Secrets = Field(
        (), description="seals what is kept there; 32 bytes or more. Of a list the first seals and all open"
    )
    timeout: Duration = Field(0.2, description="for one operation; no request waits longer")
    required: bool = Field(
        False, description="true: without it not ready, and tokens are 503; false: go on with memory"
    )


class Errors(Block):
    """How refusals look."""

    format: Literal["problem", "oauth"] = Field(
        "problem", description="problem: RFC 9457; oauth: JSON as in RFC 6749 §5.2"
    )
    expose_reason: bool = Field(True, description="false: without `reason` and `error_description`")


class Log(Block):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="of the program's own events")
    format: Literal["json", "text"] = Field("json", description="how lines are written")
    access: bool = Field(True, description="one line a request")
    tokens: bool = Field(False, description="true: a fingerprint of the token, never the token")


class Config(Block):
    """The whole configuration."""

    listen: Addresses = Field(("0.0.0.0:8080",), description="where clients connect: host:port or unix:/path")
    tls: Tls | None = Field(None, description="certificates of the listener; absent: plain HTTP")
    admin: Admin = Field(Admin(), description="the listener for operators: health, metrics and /api")
    workers: Positive | Literal["auto"] = Field(
        1, description="number of processes that serve; auto: one per core that may be used"
    )
    external_url: Url | None = Field(None, description="how clients see us; absent: taken from the request")
    trusted_proxies: Annotated[Networks, BeforeValidator(as_tuple)] = Field(
        (), description="networks whose Forwarded and X-Forwarded-* are believed"
    )
    limits: Limits = Field(Limits(), description="sizes and numbers beyond which requests are refused")
    timeouts: Timeouts = Field(Timeouts(), description="how long clients are waited for")
    redis: Redis | None = Field(None, description="a Redis that all gateways share; absent: everything stays in memory")
    issuers: dict[str, Issuer] = Field({}, description="trusted authorization servers, by a short name")
    upstreams: dict[str, Upstream] = Field({}, description="services behind the gateway, by name")
    route_defaults: RouteDefaults = Field(RouteDefaults(), description="anything a route may say")
    routes: Annotated[tuple[Route, ...], BeforeValidator(as_tuple), Field(min_length=1)] = Field(
        description="which requests go where, and who may send them; their order never matters"
    )
    errors: Errors = Field(Errors(), description="how refusals look")
    log: Log = Field(Log(), description="what is logged, and how")
