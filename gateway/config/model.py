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

    certificate: Text | None = Field(None, description="PEM file with the certificate chain")
    private_key: Text | None = Field(None, description="PEM file with the private key")
    client_ca: Text | None = Field(None, description="PEM file with the CAs of client certificates")
    client_certificate: Literal["none", "optional", "required"] = Field("none", description="ask clients for one?")


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
