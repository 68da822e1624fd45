"""The pages where users enter the code of a device and say whether it may (RFC 8628 §3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiohttp import web
from authlib.oauth2.rfc6749 import InvalidRequestError

from gateway.devauth import answers, forms
from gateway.devauth.attempts import Attempts
from gateway.devauth.browser import TOO_MANY, Browser
from gateway.devauth.device import DeviceRequest, DeviceRequests
from gateway.devauth.sessions import Session

UNKNOWN: Final = "This code is not known, was used, or its time is over. Look at your device again."
APPROVED: Final = ("The device is connected", "You can close this page and go back to your device.")
DENIED: Final = ("The device gets no access", "You have denied the request. You can close this page.")

_LONGEST_CODE = 40


class DevicePages:
    """`/device` and the forms below it. The code may stand in the address, as a link or a QR code has it."""

    def __init__(self, browser: Browser, devices: DeviceRequests, attempts: Attempts) -> None:
        self._browser = browser
        self._devices = devices
        self._attempts = attempts
        self._path = f"{browser.path}/device"

    def routes(self) -> Iterable[web.RouteDef]:
        """Where requests go."""
        guarded = self._browser.guarded
        return [
            web.get(self._path, guarded(self._show)),
            web.post(self._path, guarded(self._enter)),
            web.post(f"{self._path}/sign-in", guarded(self._sign_in)),
            web.post(f"{self._path}/sign-out", guarded(self._sign_out)),
            web.post(f"{self._path}/consent", guarded(self._decide)),
            *(web.get(f"{self._path}/{form}", self._start_again) for form in ("sign-in", "sign-out", "consent")),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        session = self._browser.signed_in(request)
        if session is None:
            return self._browser.sign_in_page(request, self._address(request, "/sign-in"), None)
        return self._entry_page(request, session, forms.of_query(request).values.get("user_code", ""))

    async def _enter(self, request: web.Request) -> web.Response:
        """Take the code, and ask for consent if a device has it."""
        session, form = await self._browser.form(request)
        user_code = form.get("user_code", "")
        if session.user is None:
            return await self._start_again(request)
        if self._attempts.are_used_up(session.user.name):
            return self._entry_page(request, session, user_code, TOO_MANY, 429)
        asked = self._devices.of_user(user_code)
        if asked is None:
            # Only so many guesses, or somebody finds the code of another's device (RFC 8628 §5.1).
            self._attempts.count(session.user.name)
            return self._entry_page(request, session, user_code, UNKNOWN, 400)
        return self._consent_page(request, session, asked)

    async def _decide(self, request: web.Request) -> web.Response:
        session, form = await self._browser.form(request)
        if session.user is None:
            return await self._start_again(request)
        asked = self._devices.of_user(form.get("user_code", ""))
        if asked is None:
            return self._entry_page(request, session, "", UNKNOWN, 400)
        if form.get("decision") not in ("approve", "deny"):
            raise InvalidRequestError("the decision is missing")
        is_approved = form["decision"] == "approve"
        asked.decide(session.user, session.auth_time, is_approved)
        return answers.as_page(self._browser.pages.message(*(APPROVED if is_approved else DENIED)))

    async def _sign_in(self, request: web.Request) -> web.Response:
        return await self._browser.sign_in(request, self._address(request), "")

    async def _sign_out(self, request: web.Request) -> web.Response:
        return await self._browser.sign_out(request, self._address(request))

    async def _start_again(self, request: web.Request) -> web.Response:
        """For who enters the address of a form, or whose session ended meanwhile."""
        return answers.redirect(self._address(request), request.method)

    def _entry_page(
        self, request: web.Request, session: Session, user_code: str, failure: str = "", status: int = 200
    ) -> web.Response:
        forms = self._browser.forms(session, self._address(request), self._address(request, "/sign-out"))
        page = self._browser.pages.device(forms, failure=failure, user_code=user_code[:_LONGEST_CODE])
        return answers.as_page(page, status)

    def _consent_page(self, request: web.Request, session: Session, asked: DeviceRequest) -> web.Response:
        forms = self._browser.forms(session, self._address(request, "/consent"), self._address(request, "/sign-out"))
        return answers.as_page(self._browser.pages.consent(forms, asked.authorization, user_code=asked.user_code))

    def _address(self, request: web.Request, form: str = "") -> str:
        return f"{self._path}{form}?{request.rel_url.raw_query_string}".rstrip("?")
