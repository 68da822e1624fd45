"""Where a Redis is, as one URL: a single node, a socket, behind Sentinels or a Cluster, with TLS or without.

    redis://[user:password@]host:port/database
    unix://[user:password@]/path?db=0
    redis+sentinel://[user:password@]host:port,host:port/master-name/database
    redis+cluster://[user:password@]host:port,host:port

Instead of `redis`, `rediss` is with TLS, to Sentinels too. Its query parameters: `ssl_ca_certs`, `ssl_certfile`,
`ssl_keyfile` (paths), `ssl_check_hostname` (true or false). Credentials are those of the Redis nodes; Sentinels may
have their own as `sentinel_username` and `sentinel_password`. No message repeats a part of the URL: passwords end up in
any of them. Opens nothing.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

Kind = Literal["single", "socket", "sentinel", "cluster"]

_SCHEMES: dict[str, tuple[Kind, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("socket", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PORTS = {"single": 6379, "sentinel": 26379, "cluster": 6379}

_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL = {"sentinel_username": "username", "sentinel_password": "password"}

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%25[A-Za-z0-9_.-]+)?)\]|([A-Za-z0-9_.-]+))(?::([0-9]{1,5}))?")
# What the IDNA codec takes; it would raise a UnicodeError at the first connection for any other.
_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The parts of the URL. `options` are those of every connection, `sentinel_options` those to Sentinels."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    database: int = 0
    master: str = ""
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)


def parse_address(url: str) -> RedisAddress:
    """Read a URL. Raises ValueError with what is wrong."""
    scheme, separator, rest = url.partition("://")
    if scheme not in _SCHEMES or not separator:
        raise ValueError(f"must begin with one of {', '.join(f'{name}://' for name in _SCHEMES)}")
    if "#" in rest:
        raise ValueError("has a #, which is written %23")
    kind, has_tls = _SCHEMES[scheme]
    # By hand, for urlsplit reads no list of hosts.
    rest, _, parameters = rest.partition("?")
    authority, _, path = rest.partition("/")
    userinfo, _, hosts = authority.rpartition("@")
    query = _query(parameters, _accepted(kind, has_tls))
    tls = _tls(query) if has_tls else {}
    options = {**_credentials(userinfo), **tls}
    if kind == "socket":
        return RedisAddress(kind, path=_socket(hosts, path), database=_database(query.get("db", "0")), options=options)
    found = tuple(_host(host, _PORTS[kind]) for host in hosts.split(","))
    if kind == "single" and len(found) > 1:
        raise ValueError("names several hosts: redis+sentinel:// or redis+cluster:// is for these")
    master, database = _path(kind, path)
    sentinel = {key: query[name] for name, key in _SENTINEL.items() if name in query}
    return RedisAddress(kind, found, "", database, master, options, {**tls, **sentinel})


def check_address(url: str) -> None:
    """Raises ValueError with what is wrong with a URL."""
    parse_address(url)


def _accepted(kind: Kind, has_tls: bool) -> list[str]:
    return [
        *(("db",) if kind == "socket" else ()),
        *((*_TLS_FILES, "ssl_check_hostname") if has_tls else ()),
        *(_SENTINEL if kind == "sentinel" else ()),
    ]


def _query(text: str, accepted: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in text.split("&") if text else ():
        name, _, value = pair.partition("=")
        if name not in accepted:
            raise ValueError(f"takes no query parameters but: {', '.join(accepted) or 'none'}")
        if name in found or not value:
            raise ValueError(f"has {name} twice or without a value")
        # A plus is a plus: passwords have some, and these are no form fields.
        found[name] = _decoded(value)
    return found


def _tls(query: dict[str, str]) -> dict[str, Any]:
    checks = query.get("ssl_check_hostname", "true")
    if checks not in ("true", "false"):
        raise ValueError("ssl_check_hostname must be true or false")
    if "ssl_keyfile" in query and "ssl_certfile" not in query:
        raise ValueError("ssl_keyfile needs ssl_certfile")
    files = {name: query[name] for name in _TLS_FILES if name in query}
    return {"ssl": True, **files, "ssl_check_hostname": checks == "true"}


def _credentials(userinfo: str) -> dict[str, Any]:
    user, _, password = userinfo.partition(":")
    named = {"username": _decoded(user), "password": _decoded(password)}
    return {key: value for key, value in named.items() if value}


def _socket(hosts: str, path: str) -> str:
    if hosts or not path:
        raise ValueError("needs the path of a socket: unix:///run/redis.sock")
    return "/" + _decoded(path)


def _host(text: str, default: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found[3] or default) if found else 0
    if not found or not 0 < port < 2**16 or not (_is_ip_v6(found[1]) if found[1] else _NAME.fullmatch(found[2])):
        raise ValueError("has a host or port that is none; in a password, / ? # @ and % are percent-encoded")
    return unquote(found[1] or found[2]), port


def _is_ip_v6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(unquote(text))
    except ValueError:
        return False
    return True


def _path(kind: Kind, path: str) -> tuple[str, int]:
    segments = path.removesuffix("/").split("/") if path else []
    master = _decoded(segments.pop(0)) if kind == "sentinel" and segments else ""
    if kind == "sentinel" and not master:
        raise ValueError("needs the name of the master: redis+sentinel://host:26379/master-name/0")
    if len(segments) > 1:
        raise ValueError("has more path than a database")
    database = _database(segments[0]) if segments and segments[0] else 0
    if kind == "cluster" and database:
        raise ValueError("a cluster has database 0 alone")
    return master, database


def _database(text: str) -> int:
    # Nine digits stay below what Redis can count, and are more than any has.
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError("has a database that is no number")
    return int(text)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        # Its own message holds the bytes.
        raise ValueError("has a percent-encoding that is no UTF-8") from None
