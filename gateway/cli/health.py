"""`oauth-gateway health`: asks a running gateway whether it is ready, for a container's health check."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import click

_TIMEOUT = 3.0
_DEFAULT = "http://127.0.0.1:9090/readyz"


@click.command("health")
@click.argument("url", default=_DEFAULT, envvar="OAUTH_GATEWAY_HEALTH_URL")
def command(url: str) -> None:
    """Ask URL (default http://127.0.0.1:9090/readyz) and exit 0 if the gateway is ready, else 1."""
    try:
        status, body = _get(url)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise click.ClickException(
            f"{url} does not answer: {problem}. Does `admin.listen` say another address?"
        ) from None
    click.echo(body.strip())
    if status != 200:
        raise SystemExit(1)


def _get(url: str) -> tuple[int, str]:
    # The standard library alone: a probe runs every few seconds and must start fast.
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("an http:// address is needed")
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=_TIMEOUT)
    try:
        connection.request("GET", parts.path if parts.path.strip("/") else "/readyz")
        response = connection.getresponse()
        return response.status, response.read(65536).decode("utf-8", "replace")
    finally:
        connection.close()
