"""One authorization server, found and checked, and the client's way to prove to it who it is."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.cli.token.exit_status import WrongOption
from gateway.cli.token.failures import told
from gateway.cli.token.options import ClientOptions
from gateway.cli.token.proxy import proxies
from gateway.cli.token.terminal import Teller
from gateway.http.tls import ClientContext
from gateway.oauth.authorization_server import AuthorizationServer, find_server
from gateway.oauth.client import IssuerClient, is_loopback
from gateway.oauth.client_authentication import (
    ClientAssertion,
    ClientAuthentication,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
    TlsClientAuth,
    load_private_key,
)

_BY_SECRET = ("client_secret_basic", "client_secret_post", "client_secret_jwt")


@dataclass(frozen=True, slots=True)
class Connection:
    """What the grants need: the HTTP client, the server, and how the client authenticates there."""

    client: IssuerClient
    server: AuthorizationServer
    authentication: ClientAuthentication


@contextlib.asynccontextmanager
async def connected(options: ClientOptions, teller: Teller) -> AsyncIterator[Connection]:
    """Discover the server. Raises `Failure`."""
    check_issuer(options)
    tls = _tls(options)
    # Before anything is sent: a file that is missing or a prompt that is left must not come after a round trip.
    secret = options.secret.read() if options.secret is not None else None
    async with IssuerClient(
        timeout=options.timeout, allow_http=options.allow_http, tls=tls, proxy=proxies(os.environ)
    ) as client:
        with told("its metadata", options.issuer):
            server = await find_server(
                client,
                options.issuer,
                options.metadata,
                allow_http=options.allow_http,
                has_certificate=options.certificate is not None,
            )
        teller.detail(f"metadata: {server.metadata.address}")
        method = _method(options, server)
        teller.detail(f"client {options.client_id} authenticates by {method}")
        yield Connection(client, server, _authentication(options, method, secret))


def check_issuer(options: ClientOptions) -> None:
    """That nobody on the way can read what goes to the issuer. Raises `WrongOption`."""
    for option, address in (("--issuer", options.issuer), ("--metadata", options.metadata or "")):
        try:
            parts = urlsplit(address)
            is_plain = parts.scheme == "http" and not is_loopback(parts.hostname)
            parts.port  # noqa: B018 - raises for what is none
        except ValueError:
            raise WrongOption(f"{option} {address} is no URL") from None
        if is_plain and not options.allow_http:
            raise WrongOption(
                f"{option} {address} is plain http: everybody on the way could read secrets and tokens",
                "use https, or --allow-http where the network is yours alone.",
            )


def _tls(options: ClientOptions) -> ClientContext | None:
    if options.certificate_key is not None and options.certificate is None:
        raise WrongOption("--certificate-key needs --certificate")
    if options.ca is None and options.certificate is None:
        return None
    try:
        return ClientContext(ca=options.ca, certificate=options.certificate, private_key=options.certificate_key)
    except (OSError, ssl.SSLError) as problem:
        raise WrongOption(f"--ca or --certificate can't be used: {problem.strerror or problem}") from None


def _method(options: ClientOptions, server: AuthorizationServer) -> str:
    """How the client authenticates: as it was told, else by what it has and the issuer takes (RFC 8414 §2)."""
    if options.client_auth is not None:
        return options.client_auth
    if options.client_key is not None:
        return "private_key_jwt"
    if options.secret is not None:
        offered = server.listed("token_endpoint_auth_methods_supported") or _BY_SECRET
        return next((method for method in _BY_SECRET if method in offered), _BY_SECRET[0])
    return "tls_client_auth" if options.certificate is not None else "none"


def _authentication(options: ClientOptions, method: str, secret: str | None) -> ClientAuthentication:
    if method == "none":
        return PublicClient(options.client_id)
    if method == "tls_client_auth":
        if options.certificate is None:
            raise WrongOption("tls_client_auth needs --certificate and --certificate-key")
        return TlsClientAuth(options.client_id)
    if method == "private_key_jwt":
        return _by_key(options)
    if secret is None:
        raise WrongOption(f"{method} needs --client-secret")
    if method == "client_secret_post":
        return ClientSecretPost(options.client_id, secret)
    if method == "client_secret_basic":
        return ClientSecretBasic(options.client_id, secret)
    try:
        return ClientAssertion.by_secret(options.client_id, secret, options.issuer)
    except ValueError as problem:
        raise WrongOption(f"client_secret_jwt: {problem}") from None


def _by_key(options: ClientOptions) -> ClientAuthentication:
    if options.client_key is None:
        raise WrongOption("private_key_jwt needs --client-key")
    try:
        key, key_id = load_private_key(options.client_key.read_bytes())
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise WrongOption(f"--client-key {options.client_key} can't be used: {reason}") from None
    key_id = options.client_key_id or key_id
    return ClientAssertion.by_key(options.client_id, key, options.issuer, key_id=key_id)
