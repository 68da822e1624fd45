"""What there is to be seen of a configuration: the names and rules that figures are told beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RouteSeen:
    """One route. `upstream` is None where the gateway answers itself; `access` says who may use it."""

    name: str
    hosts: tuple[str, ...]
    paths: tuple[str, ...]
    methods: tuple[str, ...]
    upstream: str | None
    access: Literal["public", "optional", "required"]
    scopes: tuple[str, ...]
    enforced: bool


@dataclass(frozen=True, slots=True)
class IssuerSeen:
    """One issuer. `keys` says where its keys come from; `refresh` in seconds is None where nothing is fetched."""

    name: str
    issuer: str
    keys: Literal["discovery", "jwks_uri", "file", "inline", "secret", "none"]
    refresh: float | None


@dataclass(frozen=True, slots=True)
class UpstreamSeen:
    """One upstream and its endpoints, as configured. `probed` says whether their health is asked for."""

    name: str
    endpoints: tuple[str, ...]
    probed: bool


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything, in the order of the configuration."""

    routes: tuple[RouteSeen, ...] = ()
    issuers: tuple[IssuerSeen, ...] = ()
    upstreams: tuple[UpstreamSeen, ...] = ()
