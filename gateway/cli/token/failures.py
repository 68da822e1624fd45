"""What can go wrong between a client and its authorization server, in words that say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from gateway.cli.token.exit_status import Failure, IssuerTrouble, Refused, Unfinished
from gateway.oauth.authorization_server import AuthorizationServer, EndpointMissing
from gateway.oauth.client import IssuerFailure
from gateway.oauth.discovery import OtherIssuer
from gateway.oauth.error_response import OAuthError

_ENDPOINTS = {
    "token_endpoint": "tokens (token_endpoint)",
    "authorization_endpoint": "the authorization code grant (authorization_endpoint); try --grant device_code",
    "device_authorization_endpoint": "the device grant (device_authorization_endpoint); try --grant authorization_code",
    "revocation_endpoint": "revocation (revocation_endpoint); the token lives until it expires. "
    "--local deletes the stored one",
    "pushed_authorization_request_endpoint": "pushed authorization requests, and yet it wants them",
}

_ADVICE = {
    "invalid_client": "client id or secret is wrong or missing, or the issuer wants another --client-auth.",
    "invalid_grant": "the code or refresh token is no longer good, or belongs to another client; sign in again.",
    "unauthorized_client": "this client may not use this grant: allow it in the client's registration at the issuer.",
    "unsupported_grant_type": "the issuer does not know this grant; try another --grant.",
    "invalid_scope": "the issuer does not know one of the scopes, or this client may not have it.",
    "invalid_target": "the issuer does not know the --resource, or this client may not have tokens for it.",
    "invalid_request": "the issuer misses or does not understand a parameter; -v shows what was sent.",
    "access_denied": "sign in again and agree, or ask for other scopes.",
    "expired_token": "nobody entered the code in time; run the command again.",
    "login_required": "without prompt=none the issuer would ask for the password.",
    "unsupported_token_type": "the issuer can't revoke this kind of token; it lives until it expires.",
    "temporarily_unavailable": "try again later.",
}
_UNFINISHED = frozenset({"access_denied", "expired_token"})


@contextlib.contextmanager
def told(doing: str, issuer: str, server: AuthorizationServer | None = None) -> Iterator[None]:
    """Turns what the protocol raises while `doing` something into a `Failure`. No `server`: it is being looked for."""
    try:
        yield
    except OAuthError as error:
        raise _refused(doing, error, server) from None
    except EndpointMissing as failure:
        offer = _ENDPOINTS.get(failure.name, failure.name)
        raise IssuerTrouble(f"{issuer} does not offer {offer}") from None
    except IssuerFailure as failure:
        cure = _cure(failure, issuer, is_known=server is not None)
        raise IssuerTrouble(f"{doing}: {_what(failure, issuer)}", *cure) from None


def _refused(doing: str, error: OAuthError, server: AuthorizationServer | None) -> Failure:
    said = f" ({error.description})" if error.description else ""
    advice = [_ADVICE[error.code]] if error.code in _ADVICE else []
    if server is not None and error.code in _SUPPORTED:
        words = server.listed(_SUPPORTED[error.code])
        if words:
            advice.append(f"it lists: {' '.join(words)}")
    kind = Unfinished if error.code in _UNFINISHED else Refused
    return kind(f"{doing}: the issuer answers {error.code}{said}", *advice)


_SUPPORTED = {
    "invalid_scope": "scopes_supported",
    "unsupported_grant_type": "grant_types_supported",
    "invalid_client": "token_endpoint_auth_methods_supported",
}


def _what(failure: IssuerFailure, issuer: str) -> str:
    """What happened."""
    if failure.kind == "unreachable":
        return f"{issuer} can't be reached ({_connection(str(failure))})"
    if isinstance(failure, OtherIssuer):
        return f"the metadata found for {issuer} is that of {failure.found or 'nobody'}"
    if failure.kind == "timeout":
        return f"{issuer} gives {failure}"
    if failure.kind == "status":
        return f"{issuer} answers with {failure}"
    return str(failure)


def _connection(detail: str) -> str:
    """The name of a class, as `IssuerClient` reports it, in words."""
    words = {
        "DNS": "its host name is unknown",
        "Certificate": "its certificate is not trusted",
        "SSL": "TLS fails",
        "ServerDisconnected": "it closes the connection without an answer",
        "ClientConnector": "nothing answers there",
    }
    return next((text for part, text in words.items() if part in detail), detail)


def _cure(failure: IssuerFailure, issuer: str, *, is_known: bool) -> Sequence[str]:
    """What to do."""
    if isinstance(failure, OtherIssuer):
        return (
            "--issuer has to be the issuer's identifier to the letter, as in `iss` of its tokens: "
            "look for a slash at the end, http or https, and the name of the realm or tenant.",
        )
    if failure.kind == "unreachable" and "Certificate" in str(failure):
        return ("--ca FILE names the CA to trust.",)
    if failure.kind == "unreachable":
        return ("is the address right, and does it run?",)
    if failure.kind == "address":
        return ("--allow-http takes plain http beyond this machine, where the network is yours alone.",)
    if failure.kind == "status":
        return _cure_of_status(str(failure), issuer, is_known=is_known)
    return _CURES.get(failure.kind, ())


_CURES = {
    "timeout": ("try again, or give it more with --timeout SECONDS.",),
    "token_type": ("this command handles bearer tokens alone (RFC 6750).",),
    "pkce": ("without PKCE by S256 a stolen code is a stolen token; the issuer has to support it (RFC 7636).",),
    "mix_up": ("nothing was sent to anybody. If it happens again, tell the operator of the issuer (RFC 9207).",),
}


def _cure_of_status(detail: str, issuer: str, *, is_known: bool) -> Sequence[str]:
    status = detail.removeprefix("status ")
    if status.startswith("3"):
        return ("redirects are not followed; give the address it redirects to, if it is the issuer's own.",)
    if status in ("401", "403"):
        return (_ADVICE["invalid_client"],)
    if status == "404" and not is_known:
        return (
            f"does {issuer} have /.well-known/oauth-authorization-server or /.well-known/openid-configuration?",
            "--metadata URL names another address.",
        )
    return ("try again later.",) if status.startswith("5") or status == "429" else ()
