"""Signing out, also on behalf of a client (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from authlib.oauth2.rfc6749 import InvalidRequestError

from gateway.devauth import answers, forms, redirects
from gateway.devauth.browser import Browser
from gateway.devauth.clients import Clients
from gateway.devauth.id_tokens import claims_of_hint
from gateway.devauth.tokens import Tokens

SIGNED_OUT: Final = ("You are signed out", "Tokens that applications have stay good until they end or are revoked.")


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """What a client asks for: whose session to end (None: it can't prove it knows), and where to go afterwards."""

    subject: str | None
    back: str


class LogoutEndpoint:
    """`/end-session`. Without an ID token the user is asked: a link on any page could sign them out otherwise (§6)."""

    def __init__(self, browser: Browser, clients: Clients, tokens: Tokens) -> None:
        self._browser = browser
        self._clients = clients
        self._tokens = tokens
        self._path = f"{browser.path}/end-session"

    def routes(self) -> Iterable[web.RouteDef]:
        """Where requests go."""
        guarded = self._browser.guarded
        return [
            web.get(self._path, guarded(self._ask)),
            web.post(self._path, guarded(self._ask)),
            web.post(f"{self._path}/confirm", guarded(self._confirm)),
        ]

    async def _ask(self, request: web.Request) -> web.Response:
        is_form = request.method == "POST"
        parameters = await forms.once(request) if is_form else forms.of_query(request).values
        asked = self._judged(parameters)
        session = self._browser.signed_in(request)
        if session is None or session.user is None:
            return self._ended(asked, request.method)
        if session.user.subject == asked.subject:
            self._browser.sessions.end(session)
            return self._ended(asked, request.method)
        action = f"{self._path}/confirm?{urlencode(parameters)}".rstrip("?")
        page = self._browser.pages.sign_out(self._browser.forms(session, action))
        return answers.as_page(page, forms_lead_to=redirects.scheme_of(asked.back) if asked.back else "")

    async def _confirm(self, request: web.Request) -> web.Response:
        session, _ = await self._browser.form(request)
        asked = self._judged(forms.of_query(request).values)
        self._browser.sessions.end(session)
        return self._ended(asked, request.method)

    def _judged(self, parameters: Mapping[str, str]) -> LogoutRequest:
        """The request, once it is found right. Raises `InvalidRequestError`; then there is no way back (§4)."""
        hint = claims_of_hint(parameters, self._tokens)
        client_id = hint.get("aud", parameters.get("client_id"))
        if parameters.get("client_id", client_id) != client_id:
            raise InvalidRequestError("client_id is not that of id_token_hint")
        client = self._clients.find(client_id)
        back = parameters.get("post_logout_redirect_uri")
        if back is None:
            return LogoutRequest(hint.get("sub"), "")
        # Without an ID token nobody knows who asks (§3).
        if not hint or client is None or not client.check_post_logout_redirect_uri(back):
            raise InvalidRequestError("post_logout_redirect_uri is not registered, or id_token_hint is missing")
        state = {"state": parameters["state"]} if "state" in parameters else {}
        return LogoutRequest(hint.get("sub"), redirects.with_parameters(back, state) if state else back)

    def _ended(self, asked: LogoutRequest, method: str) -> web.Response:
        if asked.back:
            return answers.redirect(asked.back, method)
        return answers.as_page(self._browser.pages.message(*SIGNED_OUT))
