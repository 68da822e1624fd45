"""Answers as HTTP: JSON for programs, pages for people; stored by nobody, framed by nobody, without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from authlib.oauth2 import OAuth2Error

NEVER_STORED: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
# For programs in browsers: what they send there holds no cookie, and these answers say nothing to who has no token.
FOR_ANY_ORIGIN: Final = {"Access-Control-Allow-Origin": "*"}
_CHALLENGE: Final = 'Basic realm="development authorization server"'


def as_json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    # authlib's challenge has no realm, which RFC 7617 §2 asks for.
    challenge = {"WWW-Authenticate": _CHALLENGE} if status == 401 else {}
    return web.json_response(body, status=status, headers={**challenge, **NEVER_STORED, **(headers or {})})


def as_error(code: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error in the form of RFC 6749 §5.2."""
    return as_json({"error": code, "error_description": description}, status, headers)


def of(error: OAuth2Error) -> web.Response:
    """The same from authlib's exception."""
    return as_json(dict(error.get_body()), error.status_code)


def as_page(html: str, status: int = 200, *, forms_lead_to: str = "") -> web.Response:
    """A page."""
    return web.Response(text=html, status=status, content_type="text/html", headers=page_fields(forms_lead_to))


def page_fields(forms_lead_to: str = "") -> dict[str, str]:
    """The header fields of a page. `forms_lead_to` is a scheme to which the answer to a form may lead away from here.

    Chromium judges by `form-action` the redirects after a form too, also those of the client's own pages: an origin
    would stop an application that passes its users on, and can't be said of [::1] at all.
    """
    policy = (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self' {forms_lead_to}".rstrip()
    )
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        # Addresses hold state and user codes; our own forms are to be seen as ours.
        "Referrer-Policy": "same-origin",
        **NEVER_STORED,
    }


def redirect(location: str, method: str) -> web.Response:
    """Go there with GET. After a form 303, for nobody may send a password on (RFC 9700 §4.12)."""
    status = 303 if method == "POST" else 302
    return web.Response(status=status, headers={"Location": location, "Referrer-Policy": "no-referrer", **NEVER_STORED})
