"""The proxy of the user's network, by the variables that curl and Python know: https_proxy, http_proxy, no_proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from gateway.oauth.client import is_loopback


def proxies(environ: Mapping[str, str]) -> Callable[[str], str | None]:
    """What leads to a URL: the address of a proxy, None for the direct way. Nothing else is taken from the environment.

    HTTP_PROXY in capitals does not count: where a web server starts programs, a client could set it (httpoxy).
    """
    by_scheme = {
        "https": environ.get("https_proxy") or environ.get("HTTPS_PROXY") or "",
        "http": environ.get("http_proxy") or "",
    }
    exceptions = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").lower().split(",")

    def proxy(url: str) -> str | None:
        parts = urlsplit(url)
        found = by_scheme.get(parts.scheme, "")
        host = parts.hostname or ""
        if not found or is_loopback(host) or _is_among(exceptions, host, parts.netloc.lower()):
            return None
        found = found if "://" in found else f"http://{found}"
        return found if found.startswith(("http://", "https://")) else None

    return proxy


def _is_among(exceptions: Iterable[str], host: str, authority: str) -> bool:
    """Whether an entry names the host, a domain above it, or host and port; `*` names all."""
    for entry in map(str.strip, exceptions):
        name = entry.lstrip(".")
        if entry == "*" or (name and (name in (host, authority) or host.endswith(f".{name}"))):
            return True
    return False
