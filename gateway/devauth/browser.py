"""What all pages share: the session behind a request, forms that come from our own pages, signing in and out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from authlib.oauth2 import OAuth2Error

from gateway.devauth import answers, forms
from gateway.devauth.attempts import Attempts
from gateway.devauth.clients import Client
from gateway.devauth.pages import Forms, Pages
from gateway.devauth.sessions import Session, Sessions
from gateway.devauth.users import Users

logger = logging.getLogger(__name__)

WRONG: Final = "User name or password is wrong."
TOO_MANY: Final = "Too many attempts. Wait a minute and try again."
FORGED: Final = (
    "It was open for too long, it did not come from this server, or your browser keeps no cookies. "
    "Go back and start again."
)
_LONGEST_NAME = 100

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Forged(Exception):
    """A form that no page of ours sent in this session."""


@dataclass(frozen=True, slots=True)
class Browser:
    """Speaks with browsers. `cookie` is the name of theirs, `path` the issuer's path."""

    pages: Pages
    sessions: Sessions
    users: Users
    attempts: Attempts
    cookie: str
    path: str
    is_https: bool

    def session(self, request: web.Request) -> Session | None:
        """The session of the request, if it has one that is on."""
        return self.sessions.find(request.cookies.get(self.cookie))

    def signed_in(self, request: web.Request) -> Session | None:
        """The session, if somebody is signed in."""
        session = self.session(request)
        return session if session is not None and session.user is not None else None

    async def form(self, request: web.Request) -> tuple[Session, dict[str, str]]:
        """Session and parameters of a form of ours. Raises `Forged`, `InvalidRequestError`."""
        form = await forms.once(request)
        session = self.session(request)
        if session is None or not session.accepts(form.get("csrf_token", "")):
            raise Forged
        return session, form

    def sign_in_page(
        self, request: web.Request, action: str, client: Client | None, name: str = "", to: str = ""
    ) -> web.Response:
        """Name and password. `name` is one that the client suggests, `to` where the answer to the client will go."""
        session = self.session(request) or self.sessions.begin()
        failure, tried = session.take_failure()
        suggested = tried or (name if name in self.users.names else "")
        page = self.pages.sign_in(
            self.forms(session, action), client, failure=failure, name=suggested, hint=self.users.hint
        )
        return self._remember(answers.as_page(page, forms_lead_to=to), session)

    async def sign_in(self, request: web.Request, back: str, purpose: str) -> web.Response:
        """Take name and password, and go back to where they were asked for. `purpose` names what they are for."""
        session, form = await self.form(request)
        name = form.get("username", "")
        session.tried_name = name[:_LONGEST_NAME]
        if self.attempts.are_used_up(session.tried_name):
            session.failure = TOO_MANY
            return answers.redirect(back, "POST")
        user = self.users.authenticate(name, form.get("password", ""))
        if user is None:
            self.attempts.count(session.tried_name)
            session.failure = WRONG
            return answers.redirect(back, "POST")
        self.sessions.end(session)
        signed_in = self.sessions.begin(user)
        signed_in.signed_in_for = purpose
        return self._remember(answers.redirect(back, "POST"), signed_in)

    async def sign_out(self, request: web.Request, back: str) -> web.Response:
        """End the session and go to `back`."""
        session, _ = await self.form(request)
        self.sessions.end(session)
        return answers.redirect(back, "POST")

    def guarded(self, handler: Handler) -> Handler:
        """The handler, with a page for what it raises."""

        async def guard(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Forged:
                return answers.as_page(self.pages.message("This form is not good any more", FORGED), 403)
            except OAuth2Error as error:
                return self.failed(error)

        return guard

    def forms(self, session: Session, action: str, sign_out: str = "") -> Forms:
        """The forms of a page in this session."""
        return Forms(action, session.csrf_token, sign_out, session.user.name if session.user is not None else "")

    def failed(self, error: OAuth2Error, back: str = "") -> web.Response:
        """An error for the user: there is nowhere to send it that is known to be safe (RFC 6749 §4.1.2.1)."""
        logger.info("refused: %s: %s", error.error, error.description)
        text = f"The application sent you here with a request that can’t be answered: {error.description}."
        return answers.as_page(self.pages.message("This did not work", text, code=str(error.error), back=back), 400)

    def _remember(self, answer: web.Response, session: Session) -> web.Response:
        answer.set_cookie(
            self.cookie, session.id, path=self.path or "/", httponly=True, samesite="Lax", secure=self.is_https
        )
        return answer
