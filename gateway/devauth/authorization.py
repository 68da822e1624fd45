"""The authorization endpoint (RFC 6749 §3.1): sign in, consent, and the answer to the client (RFC 9207).

Between its pages everything stands in the address; each step judges the whole request again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AccessDeniedError, InvalidRequestError
from authlib.oidc.core.errors import ConsentRequiredError, LoginRequiredError

from gateway.devauth import answers, forms, redirects
from gateway.devauth.authorization_request import words
from gateway.devauth.browser import Browser
from gateway.devauth.code_grant import CodeGrant
from gateway.devauth.errors import is_about_the_past
from gateway.devauth.grants import Destination, Grants
from gateway.devauth.id_tokens import claims_of_hint
from gateway.devauth.sessions import Session
from gateway.devauth.tokens import Authorization

logger = logging.getLogger(__name__)

_ASKS_FOR_PASSWORD: Final = frozenset({"login", "select_account"})


class AuthorizationEndpoint:
    """`/authorize` and the forms below it."""

    def __init__(self, browser: Browser, grants: Grants, clock: Callable[[], float]) -> None:
        self._browser = browser
        self._grants = grants
        self._clock = clock
        self._path = f"{browser.path}/authorize"

    def routes(self) -> Iterable[web.RouteDef]:
        """Where requests go."""
        guarded = self._browser.guarded
        return [
            web.get(self._path, guarded(self._ask)),
            web.post(self._path, guarded(self._ask_with_form)),
            web.post(f"{self._path}/sign-in", guarded(self._sign_in)),
            web.post(f"{self._path}/sign-out", guarded(self._sign_out)),
            web.post(f"{self._path}/consent", guarded(self._decide)),
            *(web.get(f"{self._path}/{form}", self._start_again) for form in ("sign-in", "sign-out", "consent")),
        ]

    async def _ask(self, request: web.Request) -> web.Response:
        return self._answer(request, lambda asked: self._next_step(request, asked))

    async def _ask_with_form(self, request: web.Request) -> web.Response:
        """OpenID Connect Core §3.1.2.1 wants POST too. With GET the session's cookie comes along from other sites."""
        return answers.redirect(f"{self._path}?{urlencode(await forms.once(request))}", request.method)

    async def _sign_in(self, request: web.Request) -> web.Response:
        return await self._browser.sign_in(request, self._address(request), _digest(request))

    async def _sign_out(self, request: web.Request) -> web.Response:
        return await self._browser.sign_out(request, self._address(request))

    async def _decide(self, request: web.Request) -> web.Response:
        session, form = await self._browser.form(request)
        return self._answer(request, lambda asked: self._decided(request, asked, session, form.get("decision", "")))

    async def _start_again(self, request: web.Request) -> web.Response:
        """For who enters the address of a form."""
        return answers.redirect(self._address(request), request.method)

    def _answer(self, request: web.Request, step: Callable[[CodeGrant], web.Response]) -> web.Response:
        """Take a step if the request is right, else tell what is wrong: the client, if it is known where it is."""
        parameters = forms.of_query(request)
        destination = self._grants.destination(parameters)
        try:
            return step(self._grants.asked(parameters))
        except OAuth2Error as error:
            return self._refused(request, destination, error)

    def _next_step(self, request: web.Request, asked: CodeGrant) -> web.Response:
        """Sign in, consent, or the answer."""
        prompt = words(asked.request.form, "prompt")
        session = self._browser.signed_in(request)
        if session is None or self._must_sign_in(request, asked, session):
            if prompt == {"none"}:
                raise LoginRequiredError("the user must sign in")
            if session is not None and _has_just_signed_in(request, session):
                # As somebody else than the client means: the page again would be one without end.
                session.signed_in_for = ""
                raise LoginRequiredError("another user has signed in")
            return self._sign_in_page(request, asked)
        if self._must_consent(asked, session, prompt):
            if prompt == {"none"}:
                raise ConsentRequiredError("the user must consent")
            return self._consent_page(request, asked, session)
        return self._approved(request, asked, session)

    def _must_sign_in(self, request: web.Request, asked: CodeGrant, session: Session) -> bool:
        """Whether a session is not enough: the client wants a password now, or one not older than so many seconds."""
        hint = claims_of_hint(asked.request.form, self._grants.tokens)
        if session.user is None or hint.get("sub", session.user.subject) != session.user.subject:
            return True
        if _has_just_signed_in(request, session):
            return False
        max_age = asked.request.form.get("max_age")
        is_too_old = max_age is not None and self._clock() - session.auth_time > int(max_age)
        return is_too_old or not words(asked.request.form, "prompt").isdisjoint(_ASKS_FOR_PASSWORD)

    def _must_consent(self, asked: CodeGrant, session: Session, prompt: frozenset[str]) -> bool:
        """Whether to ask. Who says to be a public client may be another: it is asked for each time (RFC 6749 §10.2)."""
        if prompt != {"none"} and (asked.client.is_public or "consent" in prompt):
            return True
        return not session.has_consented(asked.client, asked.redirect_uri, asked.scope)

    def _decided(self, request: web.Request, asked: CodeGrant, session: Session, decision: str) -> web.Response:
        if self._must_sign_in(request, asked, session):
            return self._sign_in_page(request, asked)
        if decision == "deny":
            session.signed_in_for = ""
            raise AccessDeniedError("the user has denied the request")
        if decision != "approve":
            raise InvalidRequestError("the decision is missing")
        session.remember_consent(asked.client, asked.redirect_uri, asked.scope)
        return self._approved(request, asked, session)

    def _sign_in_page(self, request: web.Request, asked: CodeGrant) -> web.Response:
        name, to = asked.request.form.get("login_hint", ""), redirects.scheme_of(asked.redirect_uri)
        return self._browser.sign_in_page(request, self._address(request, "/sign-in"), asked.client, name, to)

    def _consent_page(self, request: web.Request, asked: CodeGrant, session: Session) -> web.Response:
        forms = self._browser.forms(session, self._address(request, "/consent"), self._address(request, "/sign-out"))
        page = self._browser.pages.consent(forms, Authorization(asked.client, asked.scope), to=asked.redirect_uri)
        return answers.as_page(page, forms_lead_to=redirects.scheme_of(asked.redirect_uri))

    def _approved(self, request: web.Request, asked: CodeGrant, session: Session) -> web.Response:
        assert session.user is not None
        session.signed_in_for = ""
        destination = Destination(asked.client, asked.redirect_uri, asked.request.payload.state)
        code = asked.issue_code(session.user, session.auth_time)
        return answers.redirect(self._location(destination, {"code": code}), request.method)

    def _refused(self, request: web.Request, destination: Destination, error: OAuth2Error) -> web.Response:
        logger.info("refused %s: %s: %s", destination.client.client_id, error.error, error.description)
        if is_about_the_past(error):
            error.uri = self._grants.explanation
        error.state = None
        location = self._location(destination, dict(error.get_body()), in_fragment=error.redirect_fragment)
        if destination.is_trusted or request.method == "POST":
            return answers.redirect(location, request.method)
        # Else anybody could register an address and lead users there by way of ours (RFC 9700 §4.11.2).
        return self._browser.failed(error, back=location)

    def _location(self, destination: Destination, answer: dict[str, str], *, in_fragment: bool = False) -> str:
        state = {"state": destination.state} if destination.state is not None else {}
        issuer = {"iss": self._grants.tokens.issuer}
        return redirects.with_parameters(
            destination.redirect_uri, {**answer, **state, **issuer}, in_fragment=in_fragment
        )

    def _address(self, request: web.Request, form: str = "") -> str:
        """This request again, or one of its forms. The path is ours whatever was sent, so it leads nowhere else."""
        return f"{self._path}{form}?{request.rel_url.raw_query_string}"


def _digest(request: web.Request) -> str:
    """What a password was entered for: the very same request."""
    return hashlib.sha256(request.rel_url.raw_query_string.encode("utf-8", "surrogateescape")).hexdigest()


def _has_just_signed_in(request: web.Request, session: Session) -> bool:
    return session.signed_in_for == _digest(request)
