"""The clients an authorization server knows (RFC 6749 §2): those of its file, and those that registered (RFC 7591)."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from authlib.oauth2.rfc6749 import ClientMixin

from gateway.devauth import redirects, scopes

DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPES: Final = frozenset({"authorization_code", "client_credentials", "refresh_token", DEVICE_CODE})

# Anybody on this machine may register, and a test loop may do it for weeks.
_MOST_REGISTERED = 1000


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things last, in seconds. A code is used at once; RFC 6749 §4.1.2 allows it ten minutes at most."""

    access: int = 3600
    refresh: int = 30 * 86400
    code: int = 60
    device: int = 600


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):  # type: ignore[misc]  # authlib has no types
    """A client; without a secret it is a public one (RFC 6749 §2.1). `claims` go into its access tokens.

    `access_token` is the form of its tokens: a JWT, or a random value that tells nothing and must be introspected.
    """

    client_id: str
    client_secret: str | None = field(repr=False)
    scopes: frozenset[str]
    audience: str
    grant_types: frozenset[str] = frozenset({"client_credentials"})
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    access_token: Literal["jwt", "opaque"] = "jwt"
    lifetimes: Lifetimes = Lifetimes()
    name: str = ""
    registered_itself: bool = False

    @property
    def is_public(self) -> bool:
        """Whether it can keep no secret."""
        return self.client_secret is None

    @property
    def display_name(self) -> str:
        """What users read: its name, else its id."""
        return self.name or self.client_id

    def get_client_id(self) -> str:
        """`client_id`, as authlib asks for it."""
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        """The one redirection URI, when there is one and it is a whole address (RFC 6749 §3.1.2.3)."""
        only = self.redirect_uris[0] if len(self.redirect_uris) == 1 else redirects.ANY_LOOPBACK
        return None if only == redirects.ANY_LOOPBACK else only

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether an answer may go there."""
        return any(redirects.fits(registered, redirect_uri) for registered in self.redirect_uris)

    def check_post_logout_redirect_uri(self, uri: str) -> bool:
        """Whether a user may be sent there after signing out (OpenID Connect RP-Initiated Logout §3)."""
        return any(redirects.fits(registered, uri) for registered in self.post_logout_redirect_uris)

    def get_allowed_scope(self, scope: str | None) -> str:
        """What is granted: the scopes asked for, or else all of the client's that are an API's (RFC 6749 §3.3).

        OpenID's are for those who ask: with `openid` comes an ID token (OpenID Connect Core §3.1.2.1).
        """
        return " ".join(sorted(scopes.parse(scope) or self.scopes - scopes.OPENID.keys() or self.scopes))

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare in constant time; as bytes, since texts beyond ASCII can't be."""
        known = self.client_secret
        return known is not None and hmac.compare_digest(known.encode(), client_secret.encode("utf-8", "replace"))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Basic or post, as RFC 6749 §2.3.1 has them; a public client only names itself."""
        return method == "none" if self.is_public else method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type: str) -> bool:
        """Whether the client may send users to the authorization endpoint."""
        return response_type == "code" and self.check_grant_type("authorization_code")

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether the client may use this grant."""
        return grant_type in self.grant_types


class Clients:
    """Finds a client by its id."""

    def __init__(self, known: Iterable[Client]) -> None:
        self._known = {client.client_id: client for client in known}
        self._registered: OrderedDict[str, Client] = OrderedDict()

    def __iter__(self) -> Iterator[Client]:
        """Those that were there from the start."""
        return iter(self._known.values())

    def find(self, client_id: str | None) -> Client | None:
        """The client of that id."""
        return self._known.get(client_id or "") or self._registered.get(client_id or "")

    def register(self, client: Client) -> None:
        """Keep one that registered itself; of too many the oldest goes."""
        self._registered[client.client_id] = client
        while len(self._registered) > _MOST_REGISTERED:
            self._registered.popitem(last=False)

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope that one of them may have."""
        return frozenset().union(*(client.scopes for client in self))
