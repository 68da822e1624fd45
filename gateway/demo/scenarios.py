"""The requests worth trying, as lines to paste, and the tokens that they send."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from gateway.devauth import defaults
from gateway.devauth.server import DevelopmentServer

SERVICE: Final = next(client for client in defaults.CLIENTS if client.client_id == "demo-service")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One request of the demo. `variable` names the shell variable that holds its token, None for no token."""

    title: str
    method: str
    path: str
    variable: str | None
    status: int

    @property
    def body(self) -> str | None:
        """What is sent: the item to order, or None."""
        return "hammer" if self.method == "POST" else None

    def curl(self, origin: str) -> str:
        """A line for any shell."""
        method = f" -X {self.method} -d {self.body}" if self.body is not None else ""
        token = f' -H "Authorization: Bearer ${self.variable}"' if self.variable is not None else ""
        return f"curl -i{method}{token} {origin}{self.path}"


SCENARIOS = (
    Scenario("a public route", "GET", "/health", None, 200),
    Scenario("no token", "GET", "/orders/acme", None, 401),
    Scenario("good token", "GET", "/orders/acme", "GOOD", 200),
    Scenario("missing scope", "POST", "/orders/acme", "GOOD", 403),
    Scenario("the scope it needs", "POST", "/orders/acme", "WRITER", 201),
    Scenario("expired token", "GET", "/orders/acme", "EXPIRED", 401),
    Scenario("wrong tenant", "GET", "/orders/globex", "GOOD", 403),
)


def tokens(server: DevelopmentServer) -> dict[str, str]:
    """The tokens of the scenarios, by shell variable."""
    now = int(time.time())
    issue = server.tokens.issue
    return {
        "GOOD": issue(SERVICE, "orders:read").value,
        "WRITER": issue(SERVICE, "orders:read orders:write").value,
        "EXPIRED": issue(SERVICE, "orders:read", iat=now - 7200, exp=now - 3600).value,
    }


def curl_for_a_token(issuer: str) -> str:
    """How to get a further token by client credentials (RFC 6749 §4.4)."""
    return (
        f"curl -s -u {SERVICE.client_id}:{SERVICE.client_secret} "
        f"-d grant_type=client_credentials -d scope=orders:read {issuer}/token"
    )
