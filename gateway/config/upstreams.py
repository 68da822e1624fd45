"""The `upstreams` of the configuration as types: where services are, and how their endpoints share the requests."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.config.block import Block, Count, Positive
from gateway.config.issuers import ClientTls
from gateway.config.values import Duration, Methods, Text, kind, listed, text, upstream_url

_RANGE = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_TARGET = re.compile(r"/[!-\"$-~]*")
_PATTERN = r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?$|\$\{"


def _statuses(value: object) -> tuple[int, int]:
    found = _RANGE.fullmatch(str(value)) if isinstance(value, str | int) else None
    if found is None or int(found[2] or found[1]) < int(found[1]):
        raise ValueError("must be a status such as 200, or a range such as 200-399")
    return int(found[1]), int(found[2] or found[1])


def _cause(value: object) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)


def _target(value: object) -> str:
    plain = text(value)
    if not _TARGET.fullmatch(plain):
        raise ValueError("must be a path that begins with /, without blanks, # or anything beyond ASCII")
    return plain


def _endpoint(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


def _endpoints(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of addresses, not {kind(value)}")
    if not value:
        raise ValueError("must not be an empty list")
    return tuple(value)


def _one_or_list(items: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [items, {"type": "array", "items": items, "minItems": 1}]}


_STATUS_SCHEMA = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _PATTERN}]}
_CAUSE_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "integer"}]}

Statuses = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(listed(_statuses, "a status")),
    WithJsonSchema(_one_or_list(_STATUS_SCHEMA)),
]
Causes = Annotated[
    tuple[str, ...], BeforeValidator(listed(_cause, "a cause")), WithJsonSchema(_one_or_list(_CAUSE_SCHEMA))
]


class UpstreamTls(ClientTls):
    """TLS for connections to an upstream."""

    server_name: Text | None = Field(
        None, description="name for SNI that the certificate must have; absent: the host of the address"
    )
    verify: bool = Field(True, description="false: anybody is taken for the upstream; for tests only")


class Endpoint(Block):
    """One address of an upstream."""

    url: Annotated[str, BeforeValidator(upstream_url)] = Field(
        description="its address: http://, https:// or unix:/path"
    )
    weight: Positive = Field(1, description="its share of the requests")


OneOfSeveral = Annotated[Endpoint, BeforeValidator(_endpoint, json_schema_input_type=str | Endpoint)]
"""An endpoint, or its address alone."""


class Health(Block):
    """Probes: each endpoint is asked, from each worker, whether it is well."""

    path: Annotated[str, BeforeValidator(_target)] = Field(
        "/healthz", description="the path that is asked for, without the base path"
    )
    interval: Duration = Field(10.0, description="time between two probes")
    timeout: Duration = Field(2.0, description="how long an answer may take")
    unhealthy_after: Positive = Field(3, description="failed probes in a row after which nothing goes there")
    healthy_after: Positive = Field(2, description="good probes in a row after which it is used again")
    status: Statuses = Field(((200, 399),), description="statuses, or ranges of them, that are good")


class Ejection(Block):
    """Endpoints that fail are left out for a while; never the last healthy one."""

    failures: Positive = Field(5, description="failed requests in a row after which an endpoint is left out")
    duration: Duration = Field(10.0, alias="for", description="how long it is left out")


class UpstreamTimeouts(Block):
    """How long an upstream may take."""

    connect: Duration = Field(2.0, description="for a connection and its TLS handshake; also the wait for a free one")
    response: Duration = Field(30.0, description="until the first byte of the response; over it 504")
    idle: Duration = Field(60.0, description="longest silence after it")


class Retry(Block):
    """When a request is sent again."""

    attempts: Count = Field(1, description="how many times a request is sent again at most")
    on: Causes = Field(("connect",), description="after what: connect, disconnect, timeout, 502, 503, 504")
    methods: Methods = Field(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"), description="for which methods")
    budget: Annotated[float, Field(ge=0, le=1)] = Field(0.2, description="share of the requests that may be retries")


class Upstream(Block):
    """A service behind the gateway."""

    url: Annotated[str, BeforeValidator(upstream_url)] | None = Field(
        None, description="its address: http://, https:// or unix:/path; a base path is allowed"
    )
    urls: Annotated[tuple[OneOfSeveral, ...], BeforeValidator(_endpoints)] | None = Field(
        None, description="several addresses, instead of url"
    )
    balance: Text = Field(
        "round_robin", description="round_robin, least_requests, random, or hash:name of a claim or header field"
    )
    health: Health | None = Field(None, description="asks endpoints whether they are well; absent: no probes")
    ejection: Ejection | None = Field(None, description="leaves out endpoints that fail; absent: none")
    timeouts: UpstreamTimeouts = Field(UpstreamTimeouts(), description="how long it may take")
    retry: Retry | None = Field(None, description="sends requests again; absent: none")
    max_connections: Positive = Field(
        256, description="per endpoint and worker; further requests wait at most timeouts.connect"
    )
    keep_alive: Duration = Field(60.0, description="how long an idle connection is kept")
    tls: UpstreamTls | None = Field(None, description="for https:// addresses")

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its addresses, whichever way they were written."""
        return (Endpoint(url=self.url),) if self.url is not None else self.urls or ()

    @property
    def hash_key(self) -> str | None:
        """The header or claim that decides where a request goes, None where nothing does."""
        return self.balance.removeprefix("hash:") if self.balance.startswith("hash:") else None
