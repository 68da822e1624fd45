"""A browser without a window: follows links and redirects, keeps cookies, fills in forms. Also a program, for $BROWSER.

It speaks plain HTTP and runs no script, so what it can do a person can do on any page.
"""

from __future__ import annotations

import argparse
import html.parser
import http.cookiejar
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_PAGES = 12


@dataclass
class Form:
    """A form of a page: where it goes, its fields with what they hold, and its buttons."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, value and text of each."""


@dataclass(frozen=True)
class Page:
    """What a browser shows; `address` is that of the last redirect."""

    address: str
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def forms(self) -> list[Form]:
        """The forms of the page."""
        reader = _Forms(self.address)
        reader.feed(self.text)
        return reader.forms


class _Forms(html.parser.HTMLParser):
    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._in_button = False
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(urllib.parse.urljoin(self._address, values.get("action", ""))))
        elif tag == "input" and self.forms and "name" in values:
            self.forms[-1].fields[values["name"]] = values.get("value", "")
        elif tag == "button" and self.forms:
            self._in_button = True
            self.forms[-1].buttons.append((values.get("name", ""), values.get("value", ""), ""))

    def handle_data(self, data: str) -> None:
        if self._in_button:
            name, value, text = self.forms[-1].buttons[-1]
            self.forms[-1].buttons[-1] = (name, value, text + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "button":
            self._in_button = False


class FormBrowser:
    """Somebody with a browser, who signs in under this name and says yes or no."""

    def __init__(self, name: str = "alice", *, approves: bool = True) -> None:
        self._name = name
        self._approves = approves
        self._has_denied = False
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), urllib.request.ProxyHandler({})
        )

    def open(self, address: str, form: Mapping[str, str] | None = None) -> Page:
        """The page at an address, after all redirects."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            answer = self._opener.open(address, data, timeout=30)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            return Page(answer.url, answer.status, dict(answer.headers), answer.read().decode())

    def visit(self, address: str, user_code: str = "") -> Page:
        """Go through all pages that ask for something, to the last one."""
        page = self.open(address)
        for _ in range(MOST_PAGES):
            filled = self._filled(page, user_code)
            if filled is None:
                return page
            page = self.open(*filled)
            if self._has_denied:
                return page
        raise AssertionError(f"no end of pages, at last {page.address}")

    def _filled(self, page: Page, user_code: str) -> tuple[str, dict[str, str]] | None:
        """Where the form of a page goes, with what the user enters; None where nothing is asked."""
        for form in page.forms:
            known = {"username": self._name, "password": self._name, "user_code": user_code}
            entered = {name: known[name] for name, value in form.fields.items() if name in known and not value}
            if "password" in form.fields or entered:
                return form.action, {**form.fields, **entered}
            word = "approve" if self._approves else "deny"
            for name, value, text in form.buttons:
                # A page for browsers without scripts, such as this one, has its form and a button to go on.
                is_decision = word in (value.lower(), text.strip().lower())
                self._has_denied = is_decision and not self._approves
                if is_decision or text.strip() == "Continue":
                    return form.action, {**form.fields, **({name: value} if name else {})}
        return None


def main() -> int:
    """Visit the address that is given last."""
    options = argparse.ArgumentParser()
    options.add_argument("--name", default="alice")
    options.add_argument("--deny", action="store_true")
    options.add_argument("address")
    given = options.parse_args()
    # Browsers chatter on both, and it must not get in anybody's way.
    print("Opening in existing browser session.")
    print("libva error: no display", file=sys.stderr)
    page = FormBrowser(given.name, approves=not given.deny).visit(given.address)
    return 0 if page.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
