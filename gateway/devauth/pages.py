"""The pages for people: small templates, every value escaped, readable on a phone and by keyboard alone, no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.devauth import redirects, scopes
from gateway.devauth.clients import DEVICE_CODE, Client
from gateway.devauth.markup import Html, Templates
from gateway.devauth.tokens import Authorization

_INVALID: Final = 'aria-invalid="true" aria-describedby="failure"'
_UNITS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_TEMPLATES: Final = Templates(__package__)

fill: Final = _TEMPLATES.fill
stylesheet: Final = _TEMPLATES.stylesheet


def duration(seconds: int) -> str:
    """A time in words, in the largest unit that says it exactly."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Forms:
    """Where the forms of a page go, the CSRF token that they carry, and the name of who is signed in."""

    action: str
    csrf_token: str
    sign_out: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Pages:
    """Makes them. `base` is the path of the issuer, `meanings` what each scope allows, in words."""

    base: str
    meanings: Mapping[str, str]

    def page(self, title: str, content: Html) -> str:
        """A whole page."""
        return fill("page", title=title, base=self.base, content=content)

    def sign_in(self, forms: Forms, client: Client | None, *, failure: str, name: str, hint: str) -> str:
        """Name and password; `failure` says what was wrong with the last ones."""
        content = fill(
            "sign-in",
            action=forms.action,
            csrf_token=forms.csrf_token,
            purpose=fill("purpose", client=client.display_name) if client is not None else Html(""),
            failure=_failure(failure),
            name=name,
            on_failure=Html(_INVALID if failure else ""),
            focus_name=Html("" if name else " autofocus"),
            focus_password=Html(" autofocus" if name else ""),
            hint=fill("hint", text=hint) if hint else Html(""),
        )
        return self.page(_title("Sign in", failure), content)

    def consent(self, forms: Forms, asked: Authorization, *, to: str = "", user_code: str = "") -> str:
        """What the client wants, to approve or deny. `to` is where the answer goes, `user_code` a device's code."""
        client = asked.client
        content = fill(
            "consent",
            client=client.display_name,
            client_id=client.client_id,
            scopes=self._scopes(asked.scope),
            warning=fill("warning") if client.registered_itself else Html(""),
            code=fill("device-code", user_code=user_code) if user_code else Html(""),
            action=forms.action,
            csrf_token=forms.csrf_token,
            afterwards=f"Afterwards you go to {redirects.place_of(to)}." if to else "Afterwards the device goes on.",
            lifetime=duration(client.lifetimes.access),
            renewal=_renewal(client),
            sign_out=forms.sign_out,
            user=forms.user,
        )
        return self.page(f"Give access to {client.display_name}?", content)

    def device(self, forms: Forms, *, failure: str, user_code: str) -> str:
        """The code that a device shows (RFC 8628 §3.3)."""
        content = fill(
            "device",
            action=forms.action,
            sign_out=forms.sign_out,
            csrf_token=forms.csrf_token,
            user=forms.user,
            failure=_failure(failure),
            user_code=user_code,
            on_failure=Html(_INVALID if failure else ""),
        )
        return self.page(_title("Connect a device", failure), content)

    def sign_out(self, forms: Forms) -> str:
        """Whether the user really wants to."""
        content = fill("sign-out", action=forms.action, csrf_token=forms.csrf_token, user=forms.user)
        return self.page("Sign out?", content)

    def message(self, title: str, text: str, *, code: str = "", back: str = "") -> str:
        """Something to read; `code` is an OAuth error code, `back` an address to go on to."""
        content = fill(
            "message",
            title=title,
            text=text,
            code=fill("error-code", code=code) if code else Html(""),
            back=fill("back", address=back, place=redirects.place_of(back)) if back else Html(""),
        )
        return self.page(title, content)

    def grants(self) -> str:
        """Why some grants are gone."""
        return self.page("Grants that are gone", fill("grants", base=self.base))

    def home(self, issuer: str, clients: Iterable[Client], users: Iterable[str]) -> str:
        """What the server is and whom it knows."""
        listed = Html("\n".join(map(_client, clients)) or "<li>none</li>")
        content = fill("home", base=self.base, issuer=issuer, clients=listed, users=", ".join(users) or "none")
        return self.page("Development authorization server", content)

    def _scopes(self, scope: str) -> Html:
        order = list(self.meanings)
        names = sorted(scopes.parse(scope), key=lambda name: (order.index(name) if name in order else len(order), name))
        return Html("\n".join(fill("scope", scope=name, meaning=self.meanings.get(name, "Use")) for name in names))


def _failure(text: str) -> Html:
    return fill("failure", text=text) if text else Html("")


def _title(title: str, failure: str) -> str:
    # The first thing that a screen reader says of a page.
    return f"Error: {title}" if failure else title


def _renewal(client: Client) -> str:
    if not client.check_grant_type("refresh_token"):
        return ""
    return f"; it may renew it without you for {duration(client.lifetimes.refresh)}"


def _client(client: Client) -> Html:
    names = {DEVICE_CODE: "device code"}
    grants = sorted(names.get(grant, grant.replace("_", " ")) for grant in client.grant_types)
    return fill(
        "client",
        name=client.display_name,
        client_id=client.client_id,
        kind="public" if client.is_public else "with a secret",
        access_token="JWT" if client.access_token == "jwt" else "opaque",
        grants=", ".join(grants),
    )
