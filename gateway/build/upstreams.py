"""From the `upstreams` of the configuration to pools of connections."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from gateway.config.model import Upstream
from gateway.http.client import Origin, Pool
from gateway.upstream.forward import Upstream as UpstreamService


def upstream_service(name: str, upstream: Upstream) -> UpstreamService:
    """The pool of one upstream."""
    address = upstream.address
    if address.startswith("unix:"):
        origin, authority = Origin("localhost", 80, unix_path=address.removeprefix("unix:")), "localhost"
    else:
        parts = urlsplit(address)
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or (443 if tls is not None else 80)
        origin, authority = Origin(parts.hostname or "", port, tls=tls), parts.netloc
    timeouts = upstream.timeouts
    pool = Pool(
        origin,
        connect_timeout=timeouts.connect,
        response_timeout=timeouts.response,
        idle_timeout=timeouts.idle,
        keep_alive=upstream.keep_alive,
        max_connections=upstream.max_connections,
    )
    return UpstreamService(name, pool, authority, is_unix=origin.unix_path is not None)
