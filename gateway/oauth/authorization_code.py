"""The authorization code grant up to the code: the address a browser is sent to, and the answer it brings back.

RFC 6749 §4.1, with PKCE (RFC 7636), the issuer in the answer (RFC 9207), resources (RFC 8707) and pushed requests
(RFC 9126). Knows neither how the browser gets there nor who waits for it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode

from gateway.oauth import pkce
from gateway.oauth.authorization_server import AuthorizationServer
from gateway.oauth.client import IssuerClient, IssuerFailure
from gateway.oauth.client_authentication import ClientAuthentication
from gateway.oauth.error_response import read_error
from gateway.oauth.token_endpoint import answer_members

OWN_PARAMETERS: Final = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"}
    | {"response_mode", "request", "request_uri"}
)
"""What nobody may set besides: the answer's checks depend on it."""


class ForeignAnswer(Exception):
    """An answer that does not belong to this request: it proves nothing and ends nothing. Says what is odd about it."""


class MixUp(IssuerFailure):
    """The answer comes from another issuer than the one that was asked (RFC 9207 §2.4): its code goes nowhere."""

    def __init__(self, detail: str) -> None:
        super().__init__("mix_up", detail)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One sign-in that was begun: what has to come back, and the secret that redeems it."""

    server: AuthorizationServer
    redirect_uri: str
    parameters: tuple[tuple[str, str], ...] = field(repr=False)
    state: str = field(repr=False)
    verifier: str = field(repr=False)

    @property
    def address(self) -> str:
        """Where the browser goes (RFC 6749 §4.1.1). Raises `IssuerFailure`."""
        return self._address(self.parameters)

    async def push(self, client: IssuerClient, authentication: ClientAuthentication, client_id: str) -> str:
        """Hand the request over directly; where the browser goes then (RFC 9126 §2). Raises as the token endpoint."""
        endpoint = self.server.endpoint("pushed_authorization_request_endpoint")
        form: dict[str, str] = {}
        headers = {"Accept": "application/json"}
        authentication.apply(endpoint, form, headers)
        pairs = [*((name, value) for name, value in self.parameters if name not in form), *form.items()]
        reply = await client.post(endpoint, pairs, headers, named_at=self.server.metadata.address)
        request_uri = answer_members(reply, success=201).get("request_uri")
        if not isinstance(request_uri, str) or not request_uri:
            raise IssuerFailure("malformed", "request_uri of the answer is missing")
        return self._address((("client_id", client_id), ("request_uri", request_uri)))

    def code_of(self, query: str) -> str:
        """The code of the answer that came to `redirect_uri` with this query (RFC 6749 §4.1.2, RFC 9207 §2.4).

        Raises `ForeignAnswer`, `MixUp`, and `OAuthError` when the issuer or the user said no.
        """
        answer = _unique(query)
        if not hmac.compare_digest(answer.get("state", "").encode("utf-8", "replace"), self.state.encode("ascii")):
            raise ForeignAnswer("state is not that of this sign-in")
        # Before the error is read: what it says would be another issuer's text.
        self._check_issuer(answer)
        error = read_error(answer)
        if error is not None:
            raise error
        if not answer.get("code"):
            raise ForeignAnswer("neither code nor error")
        return answer["code"]

    def _check_issuer(self, answer: Mapping[str, str]) -> None:
        found = answer.get("iss")
        if found is None and self.server.promises("authorization_response_iss_parameter_supported"):
            raise MixUp("iss is missing in the answer, and the metadata promises it")
        if found is not None and found != self.server.issuer:
            raise MixUp("iss of the answer is another issuer's")

    def _address(self, parameters: Sequence[tuple[str, str]]) -> str:
        endpoint = self.server.endpoint("authorization_endpoint")
        # RFC 6749 §3.1: a query that the endpoint has is kept.
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


def begin(
    server: AuthorizationServer,
    client_id: str,
    redirect_uri: str,
    scope: str | None = None,
    *,
    resources: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    random_text: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    new_verifier: Callable[[], str] = pkce.new_verifier,
) -> AuthorizationRequest:
    """A new sign-in. `parameters` are further ones, such as `prompt`.

    Raises `IssuerFailure`, and ValueError for one of `OWN_PARAMETERS`.
    """
    methods = server.listed("code_challenge_methods_supported")
    if methods is not None and pkce.METHOD not in methods:
        # With `plain` whoever sees the request could redeem the code (RFC 7636 §7.2).
        raise IssuerFailure("pkce", "the issuer does not support PKCE with S256")
    further = dict(parameters or {})
    if taken := OWN_PARAMETERS & further.keys():
        raise ValueError(f"{min(taken)} is set by the grant itself")
    state, verifier = random_text(), new_verifier()
    own = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope or "",
        "state": state,
        "code_challenge": pkce.challenge(verifier),
        "code_challenge_method": pkce.METHOD,
    }
    pairs = [(name, value) for name, value in {**further, **own}.items() if value]
    pairs += [("resource", resource) for resource in resources]
    return AuthorizationRequest(server, redirect_uri, tuple(pairs), state, verifier)


def _unique(query: str) -> dict[str, str]:
    """The parameters; none may come twice, and an empty one counts as absent (RFC 6749 §3.1)."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=64)
    except ValueError:
        raise ForeignAnswer("a query that is no form") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise ForeignAnswer("a parameter comes twice")
    return {name: value for name, value in pairs if value}
