"""Where a Redis is, as one URL: a single node, a socket, behind Sentinels or a Cluster, with TLS or without.

    redis://[user:password@]host:port/database          rediss:// with TLS
    unix://[user:password@]/path?db=0
    redis+sentinel://[user:password@]host:port,host:port/master-name/database
    redis+cluster://[user:password@]host:port,host:port

Query parameters: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` (paths), `ssl_check_hostname` (true or false), and for
Sentinels of their own `sentinel_username`, `sentinel_password`. No message repeats what may be a password.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

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
_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_PORTS = {"single": 6379, "sentinel": 26379, "cluster": 6379}


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
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES or not rest:
        raise ValueError(f"must begin with one of {', '.join(f'{name}://' for name in _SCHEMES)}")
    kind, has_tls = _SCHEMES[scheme]
    # urlsplit reads no list of hosts, so it gets only the rest of the address.
    authority, slash, tail = rest.partition("/")
    parts = urlsplit(f"//x/{tail}" if slash else f"//x{tail}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    userinfo, _, hosts = authority.rpartition("@")
    tls = _tls(query) if has_tls else {}
    options = {**_credentials(userinfo), **tls}
    sentinel_options = tls
    if kind == "sentinel":
        names = {"sentinel_username": "username", "sentinel_password": "password"}
        sentinel_options = {**tls, **{key: query.pop(name) for name, key in names.items() if name in query}}
    segments = [unquote(segment) for segment in parts.path.split("/")[1:] if segment]
    address = _address(kind, hosts, "/" + unquote(parts.path.lstrip("/")), segments, query)
    if query:
        raise ValueError(f"has a query parameter that is not known: {min(query)}")
    return RedisAddress(*address, options, sentinel_options)


def check_address(url: str) -> None:
    """Raises ValueError with what is wrong with a URL."""
    parse_address(url)


def _address(
    kind: Kind, hosts: str, path: str, segments: list[str], query: dict[str, str]
) -> tuple[Kind, tuple[tuple[str, int], ...], str, int, str]:
    if kind == "socket":
        if hosts or path == "/":
            raise ValueError("needs the path of a socket: unix:///run/redis.sock")
        return kind, (), path, _database(query.pop("db", "0")), ""
    found = tuple(_host(host, _PORTS[kind]) for host in hosts.split(","))
    if kind == "single" and len(found) > 1:
        raise ValueError("names several hosts: redis+sentinel:// or redis+cluster:// is for these")
    master = segments.pop(0) if kind == "sentinel" and segments else ""
    if kind == "sentinel" and not master:
        raise ValueError("needs the name of the master: redis+sentinel://host:26379/master-name/0")
    if len(segments) > 1:
        raise ValueError("has more path than a database")
    database = _database(segments[0] if segments else "0")
    if kind == "cluster" and database:
        raise ValueError("a cluster has database 0 alone")
    return kind, found, "", database, master


def _host(text: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("has a host or port that is none") from None
    if not host or parts.path or port == 0:
        raise ValueError("has a host or port that is none")
    return host, port or default


def _database(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("has a database that is no number")
    return int(text)


def _credentials(userinfo: str) -> dict[str, Any]:
    user, _, password = userinfo.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    return {key: value for key, value in named.items() if value}


def _tls(query: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {"ssl": True, **{name: query.pop(name) for name in _TLS if name in query}}
    checks = query.pop("ssl_check_hostname", "true")
    if checks not in ("true", "false"):
        raise ValueError("ssl_check_hostname must be true or false")
    return {**options, "ssl_check_hostname": checks == "true"}
