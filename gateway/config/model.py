"""The configuration as types: one class a block of the YAML, one field a key. Durations are seconds, sizes bytes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from gateway.config.block import Block, Count, Positive, Secret, Secrets, as_tuple
from gateway.config.issuers import ClientTls, Issuer
from gateway.config.routes import Route, RouteDefaults
from gateway.config.values import (
    Address,
    Addresses,
    Duration,
    Methods,
    Networks,
    Size,
    Text,
    Texts,
    Url,
    kind,
    upstream_url,
)


class Tls(Block):
    """Certificates of a listener, or for calls to others."""

    certificate: Text | None = Field(None, description="PEM file with the certificate chain")
    private_key: Text | None = Field(None, description="PEM file with the private key")
    client_ca: Text | None = Field(None, description="PEM file with the CAs of client certificates")
    client_certificate: Literal["none", "optional", "required"] = Field("none", description="ask clients for one?")


class UpstreamTls(ClientTls):
    """TLS for connections to an upstream."""

    server_name: Text | None = Field(None, description="name for SNI and the certificate check")
    verify: bool = Field(True, description="check the certificate")


def _empty_if_absent(value: object) -> object:
    # `${ADMIN_TOKEN:-}` is nothing to YAML while the variable is not set.
    return "" if value is None else value


class Admin(Block):
    """The listener for operators: health and metrics."""

    listen: Address = Field("127.0.0.1:9090", description="never the traffic port")
    token: Annotated[Secret, BeforeValidator(_empty_if_absent)] = Field(
        SecretStr(""), description="bearer token for /api; empty: /api is off"
    )


class FailedAuthentication(Block):
    """A limit on failed authentication per client address."""

    requests: Count = Field(0, description="0: off")
    per: Duration = Field(60.0, description="the time in which they are counted")


class Limits(Block):
    """Sizes and numbers beyond which requests are refused."""

    request_head: Size = Field(32 * 1024, description="request line and header fields; over it 431")
    request_target: Size = Field(8 * 1024, description="the request target; over it 414")
    headers: Positive = Field(100, description="number of header fields; over it 431")
    request_body: Size = Field(10 * 1024 * 1024, description="over it 413; 0: no limit; a route's max_body wins")
    token: Size = Field(16 * 1024, description="size of an access token")
    connections: Positive = Field(10_000, description="open client connections; over it 503")
    failed_authentication: FailedAuthentication = Field(FailedAuthentication(), description="429 for guessers")
    requests_per_connection: Count = Field(0, description="0: no limit")


class Timeouts(Block):
    """How long the gateway waits for clients, and for itself."""

    request_head: Duration = Field(10.0, description="from the first byte to the end of the head")
    request_body: Duration = Field(30.0, description="longest silence while a body is being read")
    idle: Duration = Field(75.0, description="kept-alive connection without a request")
    drain_delay: Duration = Field(0.0, description="on SIGTERM: not ready, but keep accepting this long")
    drain: Duration = Field(30.0, description="then: finish what runs within this time")


class Redis(Block):
    """A Redis shared by all replicas."""

    url: Secret = Field(description="redis://, rediss://, unix://, redis+sentinel://, redis+cluster://")
    key_prefix: Text = Field("oauth-gateway:", description="before every key")
    secret: Secrets = Field((), description="seals what is kept there; of a list the first seals, all of them open")
    timeout: Duration = Field(0.2, description="for one command")
    required: bool = Field(False, description="not ready without it?")


class Endpoint(Block):
    """One address of an upstream."""

    url: Annotated[str, BeforeValidator(upstream_url)] = Field(description="http://, https:// or unix:/path")
    weight: Positive = Field(1, description="its share of the requests")


def _endpoints(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of addresses, not {kind(value)}")
    return tuple({"url": member} if isinstance(member, str) else member for member in value)


class Health(Block):
    """Active probes."""

    path: Text = Field("/healthz", description="what is asked for")
    interval: Duration = Field(10.0, description="how often")
    timeout: Duration = Field(2.0, description="how long to wait")
    unhealthy_after: Positive = Field(3, description="failed probes in a row")
    healthy_after: Positive = Field(2, description="good probes in a row")
    status: Annotated[tuple[str | int, ...], BeforeValidator(as_tuple)] = Field(("200-399",), description="good ones")


class Ejection(Block):
    """Passive health."""

    failures: Positive = Field(5, description="failures in a row")
    duration: Duration = Field(10.0, alias="for", description="out of rotation this long")


class UpstreamTimeouts(Block):
    """How long an upstream may take."""

    connect: Duration = Field(2.0, description="for a connection, also a free one of the pool")
    response: Duration = Field(30.0, description="to the first byte")
    idle: Duration = Field(60.0, description="silence after it")


class Retry(Block):
    """When a request is sent again."""

    attempts: Count = Field(1, description="further attempts")
    on: Texts = Field(("connect",), description="after which failures")
    methods: Methods = Field(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"), description="for which methods")
    budget: float = Field(0.2, description="share of all requests")


class Upstream(Block):
    """A service behind the gateway."""

    url: Annotated[str, BeforeValidator(upstream_url)] | None = Field(
        None, description="its address; a base path is allowed"
    )
    urls: Annotated[tuple[Endpoint, ...], BeforeValidator(_endpoints)] | None = Field(
        None, description="several addresses"
    )
    balance: Text = Field("round_robin", description="round_robin, least_requests, random or hash:<header or claim>")
    health: Health | None = Field(None, description="active probes")
    ejection: Ejection | None = Field(None, description="passive health")
    timeouts: UpstreamTimeouts = Field(UpstreamTimeouts(), description="how long it may take")
    retry: Retry | None = Field(None, description="when a request is sent again")
    max_connections: Positive = Field(256, description="per endpoint and worker")
    keep_alive: Duration = Field(60.0, description="how long an idle connection is kept")
    tls: UpstreamTls | None = Field(None, description="for https")

    @property
    def address(self) -> str:
        """The one address it has."""
        return self.url if self.url is not None else self.urls[0].url if self.urls else ""


class Errors(Block):
    """How refusals look."""

    format: Literal["problem", "oauth"] = Field("problem", description="RFC 9457, or RFC 6749 §5.2 style")
    expose_reason: bool = Field(True, description="false: without `reason` and `error_description`")


class Log(Block):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="of the program's own events")
    format: Literal["json", "text"] = Field("json", description="one line each")
    access: bool = Field(True, description="one line a request")
    tokens: bool = Field(False, description="true: a fingerprint of the token, never the token")


class Config(Block):
    """The whole configuration."""

    listen: Addresses = Field(("0.0.0.0:8080",), description="where clients connect")
    tls: Tls | None = Field(None, description="absent: plain HTTP")
    admin: Admin = Field(Admin(), description="health and metrics")
    workers: Positive | Literal["auto"] = Field(1, description="processes; auto: one per core")
    external_url: Url | None = Field(None, description="how clients see us; absent: taken from the request")
    trusted_proxies: Annotated[Networks, BeforeValidator(as_tuple)] = Field(
        (), description="whose forwarding headers are believed"
    )
    limits: Limits = Field(Limits(), description="sizes and numbers")
    timeouts: Timeouts = Field(Timeouts(), description="patience")
    redis: Redis | None = Field(None, description="shared state")
    issuers: dict[str, Issuer] = Field({}, description="trusted authorization servers, by a short name")
    upstreams: dict[str, Upstream] = Field({}, description="services behind the gateway, by name")
    route_defaults: RouteDefaults = Field(RouteDefaults(), description="anything a route may say")
    routes: Annotated[tuple[Route, ...], BeforeValidator(as_tuple), Field(min_length=1)] = Field(
        description="at least one"
    )
    errors: Errors = Field(Errors(), description="how refusals look")
    log: Log = Field(Log(), description="what is logged")
