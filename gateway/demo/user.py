"""Plays the user where there is no browser: opens the link, signs in and decides, by the forms of the pages.

What a person would do there by hand; nothing that a page does not offer.
"""

from __future__ import annotations

import html.parser
import http.cookies
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urljoin

from gateway.demo.seen import Answer, Exchange
from gateway.demo.story import Role
from gateway.demo.wire import Message, Sent, Wire

_MOST_PAGES: Final = 10
_WAY: Final = (Role.USER, Role.SERVER)


@dataclass(slots=True)
class _Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class PlayedUser:
    """Somebody with this name, whose password is the same. Keeps cookies, as a browser does."""

    def __init__(self, wire: Wire, name: str = "alice", *, decision: str = "approve") -> None:
        self._wire = wire
        self._name = name
        self._decision = decision
        self._cookies: dict[str, str] = {}

    async def visit(self, url: str, redirect_uri: str) -> tuple[list[Exchange], Answer | None]:
        """Go through all pages that want something. Ends at `redirect_uri`, or at a page that wants nothing more.

        Raises `NoAnswer`.
        """
        exchanges: list[Exchange] = []
        method, target, form = "GET", url, dict[str, str]()
        for _ in range(_MOST_PAGES):
            sent = await self._open(method, target, form)
            exchanges.append(Exchange(_title(form), _WAY, _for_show(sent), form=form))
            location = sent.response.value_of("Location")
            if location.startswith(redirect_uri):
                return exchanges, Answer(location)
            if location:
                method, target, form = "GET", urljoin(target, location), {}
                continue
            filled = self._filled(sent.response.body)
            if filled is None:
                break
            method, target, form = "POST", urljoin(target, filled.action), filled.fields
        return exchanges, None

    async def _open(self, method: str, url: str, form: dict[str, str]) -> Sent:
        fields = {"Accept": "text/html"}
        if self._cookies:
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if form:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        sent = await self._wire.send(method, url, fields, urlencode(form))
        for name, morsel in http.cookies.SimpleCookie(sent.response.value_of("Set-Cookie")).items():
            self._cookies[name] = morsel.value
        return sent

    def _filled(self, page: str) -> _Form | None:
        """The form of a page as this user sends it; None where there is none to send."""
        reader = _Forms()
        reader.feed(page)
        for form in reader.forms:
            if "password" in form.fields:
                form.fields |= {"username": self._name, "password": self._name}
                return form
            if ("decision", self._decision) in form.buttons:
                form.fields["decision"] = self._decision
                return form
            if "user_code" in form.fields:
                return form
        return None


class _Forms(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(_Form(values.get("action", "")))
        elif self.forms and tag == "input" and "name" in values:
            self.forms[-1].fields[values["name"]] = values.get("value", "")
        elif self.forms and tag == "button":
            self.forms[-1].buttons.append((values.get("name", ""), values.get("value", "")))


def _title(form: dict[str, str]) -> str:
    if "password" in form:
        return "You sign in"
    if "decision" in form:
        return "You approve" if form["decision"] == "approve" else "You say no"
    return "You send the code of the device" if "user_code" in form else "Your browser opens the page"


def _for_show(sent: Sent) -> Sent:
    """Without the cookie, which is nobody's business, and with a page's title in place of its HTML."""
    return Sent(_without_cookies(sent.request), _without_cookies(sent.response), sent.status)


def _without_cookies(message: Message) -> Message:
    fields = tuple(
        (name, "(not shown)" if name.lower() in ("cookie", "set-cookie") else value) for name, value in message.fields
    )
    _, _, rest = message.body.partition("<title>")
    title, end, _ = rest.partition("</title>")
    return Message(message.first, fields, f"(the page “{title}”)" if end else message.body)
