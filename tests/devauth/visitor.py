"""A user with a browser that has no window, and the client that sent them: both speak to the server over HTTP."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp

from gateway.devauth.clients import DEVICE_CODE

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CALLBACK = "http://127.0.0.1:8123/callback"
SECRETS = {"demo-service": "demo-service-secret", "demo-opaque": "demo-opaque-secret"}


def challenge(verifier: str = VERIFIER) -> str:
    """The S256 code challenge of a verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


REQUEST: Mapping[str, str] = {
    "response_type": "code",
    "client_id": "demo-web",
    "redirect_uri": CALLBACK,
    "scope": "openid profile orders:read",
    "state": "a state",
    "code_challenge": challenge(),
    "code_challenge_method": "S256",
}
"""An authorization request as it should be."""


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Page:
    """An answer of the server; `fields` are its header fields."""

    status: int
    fields: Mapping[str, str]
    text: str

    @property
    def title(self) -> str:
        found = re.search("<title>(.*)</title>", self.text)
        return html.unescape(found[1]) if found is not None else ""

    @property
    def location(self) -> str:
        return self.fields["Location"]

    @property
    def answer(self) -> dict[str, str]:
        """The parameters that go to the client, from query or fragment; none is there twice."""
        parts = urlsplit(self.location)
        found = parse_qs(parts.query or parts.fragment, strict_parsing=True)
        assert all(len(values) == 1 for values in found.values())
        return {name: values[0] for name, values in found.items()}

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    def form(self, ending: str = "") -> tuple[str, dict[str, str]]:
        """Where the form goes whose action's path ends so, and what it holds already."""
        for form in re.findall("<form.*?</form>", self.text, re.DOTALL):
            action = html.unescape(re.search('action="([^"]*)"', form)[1])  # type: ignore[index]
            if action.partition("?")[0].endswith(ending):
                fields = re.findall('name="([^"]*)" value="([^"]*)"', re.sub("<button.*?>", "", form))
                return action, {name: html.unescape(value) for name, value in fields}
        raise AssertionError(f"no form to {ending}: {self.text}")


class Visitor:
    """Keeps cookies, and goes nowhere by itself."""

    def __init__(self, issuer: str, session: aiohttp.ClientSession) -> None:
        self.issuer = issuer
        self.session = session

    async def get(self, address: str, **fields: str) -> Page:
        return await self._ask("GET", address, fields)

    async def post(self, address: str, form: Any = None, **fields: str) -> Page:
        return await self._ask("POST", address, fields, data=form)

    async def _ask(self, method: str, address: str, fields: Mapping[str, str], data: Any = None) -> Page:
        url = address if address.startswith("http") else self.issuer.removesuffix(self._path) + address
        async with self.session.request(method, url, headers=fields, data=data, allow_redirects=False) as answer:
            return Page(answer.status, answer.headers, await answer.text())

    @property
    def _path(self) -> str:
        return urlsplit(self.issuer).path

    async def submit(self, page: Page, ending: str = "", **entered: str) -> Page:
        """Send a form of a page with what a user entered."""
        action, fields = page.form(ending)
        return await self.post(action, {**fields, **entered})

    async def sign_in(self, page: Page, name: str = "alice", password: str | None = None) -> Page:
        """Fill in the sign-in page, and go where it leads."""
        sent = await self.submit(page, "/sign-in", username=name, password=name if password is None else password)
        assert sent.status == 303
        return await self.get(sent.location)

    def address(self, changes: Mapping[str, str | None] | None = None) -> str:
        """The address of an authorization request with these changes; None leaves a parameter out."""
        parameters = {**REQUEST, **(changes or {})}
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        return f"{self._path}/authorize?{query}"

    async def consent_page(self, changes: Mapping[str, str | None] | None = None, name: str = "alice") -> Page:
        """The page where the user, signed in, may approve or deny."""
        page = await self.get(self.address(changes))
        return await self.sign_in(page, name) if "Sign in" in page.title else page

    async def code(self, changes: Mapping[str, str | None] | None = None, name: str = "alice") -> str:
        """A code for a user who approved."""
        page = await self.consent_page(changes, name)
        return (await self.submit(page, "/consent", decision="approve")).answer["code"]

    async def redeem(self, code: str, changes: Mapping[str, str | None] | None = None) -> Page:
        """The answer of the token endpoint to a code; None leaves a parameter out."""
        form = {
            "grant_type": "authorization_code",
            "client_id": "demo-web",
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "code": code,
            **(changes or {}),
        }
        return await self.token(form)

    async def token(self, form: Mapping[str, str | None]) -> Page:
        """An answer of the token endpoint. A client that has a secret sends it."""
        client_id = form.get("client_id") or ""
        secret = {"client_secret": SECRETS[client_id]} if client_id in SECRETS else {}
        sent = {name: value for name, value in {**secret, **form}.items() if value is not None}
        page = await self.post(f"{self.issuer}/token", sent)
        assert page.fields["Cache-Control"] == "no-store"
        # Whatever is refused has nothing of a token in it.
        assert page.status == 200 or not {"access_token", "refresh_token", "id_token"} & page.body.keys()
        return page

    async def tokens(self, changes: Mapping[str, str | None] | None = None, name: str = "alice") -> dict[str, Any]:
        """The token response after a user approved."""
        answer = await self.redeem(await self.code(changes, name))
        assert answer.status == 200, answer.text
        return answer.body

    async def refresh(self, token: str, **changes: str) -> Page:
        return await self.token(
            {"grant_type": "refresh_token", "client_id": "demo-web", "refresh_token": token, **changes}
        )

    async def device(self, **changes: str) -> dict[str, Any]:
        """What a device is told when it asks for codes."""
        page = await self.post(f"{self.issuer}/device_authorization", {"client_id": "demo-device", **changes})
        assert page.status == 200, page.text
        return page.body

    async def poll(self, device_code: str, client_id: str = "demo-device") -> Page:
        return await self.token({"grant_type": DEVICE_CODE, "client_id": client_id, "device_code": device_code})

    async def decide_on_device(self, user_code: str, decision: str) -> Page:
        """Sign in, enter the code, and say yes or no."""
        page = await self.get(f"{self.issuer}/device")
        if "Sign in" in page.title:
            page = await self.sign_in(page)
        page = await self.submit(page, "/device", user_code=user_code)
        return await self.submit(page, "/consent", decision=decision)

    async def introspect(self, token: str, client_id: str = "demo-service") -> dict[str, Any]:
        """What the introspection endpoint tells this client."""
        form = {"token": token, "client_id": client_id, "client_secret": SECRETS[client_id]}
        page = await self.post(f"{self.issuer}/introspect", form)
        assert page.status == 200, page.text
        return page.body

    async def is_active(self, token: str, client_id: str = "demo-service") -> bool:
        return bool((await self.introspect(token, client_id))["active"])
