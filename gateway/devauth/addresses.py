"""Where the server may listen and by which address it may be known: this machine alone, unless somebody insists."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
from typing import Final

_LOOPBACK_NAME: Final = "localhost"
_ISSUER: Final = re.compile(
    r"(https?)://([A-Za-z0-9\-.]+|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{0,4})?((?:/[A-Za-z0-9\-._~]+)*)"
)


def listener(host: str, port: int, *, beyond_loopback: bool = False) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises ValueError beyond loopback, OSError when the port is taken.

    `host` is an address: what a name leads to is for others to say.
    """
    address = ipaddress.ip_address(host)
    if not address.is_loopback and not beyond_loopback:
        raise ValueError("the development authorization server listens on loopback alone")
    return socket.create_server((host, port), family=socket.AF_INET6 if address.version == 6 else socket.AF_INET)


def origin(listening: socket.socket) -> str:
    """The address of a listener."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_issuer(issuer: str) -> None:
    """Raises ValueError for what can't be an issuer: RFC 8414 §2, and plain http beyond loopback is read by others."""
    found = _ISSUER.fullmatch(issuer)
    if found is None:
        raise ValueError("an issuer is https://host or http://127.0.0.1:port, with a path or without, and nothing more")
    if found[1] == "http" and not is_loopback(found[2]):
        raise ValueError("an issuer beyond loopback must be https: passwords and tokens would be read on the way")


def host_of(issuer: str) -> str:
    """The host of an issuer, in lower case and without its port."""
    found = _ISSUER.fullmatch(issuer)
    return found[2].lower() if found is not None else ""


def path_of(issuer: str) -> str:
    """The path of an issuer, which may be empty."""
    found = _ISSUER.fullmatch(issuer)
    return found[3] if found is not None else ""


def cookie_name(issuer: str) -> str:
    """The name of the session's cookie: another for each issuer.

    Cookies know no ports, so two servers on this machine would sign each other's users out.
    """
    prefix = "__Host-" if issuer.startswith("https://") and not path_of(issuer) else ""
    return f"{prefix}devauth-{hashlib.sha256(issuer.encode()).hexdigest()[:8]}"


def is_loopback(host: str) -> bool:
    """Whether a host of an address is this machine, without asking anyone."""
    bare = host.strip("[]")
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return bare.lower() == _LOOPBACK_NAME
