"""The demo's world: its configuration, the tokens, and the requests worth trying."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.devauth.clients import Client
from gateway.devauth.server import DevelopmentServer

AUDIENCE = "orders-api"
SERVICE = Client(
    "demo-service",
    "demo-service-secret",
    frozenset({"orders:read", "orders:write"}),
    AUDIENCE,
    claims={"tenant": "acme"},
)

CONFIGURATION = """\
# The configuration of the running demo. Try: oauth-gateway check -c {path}
listen: 127.0.0.1:{port}
admin: {{listen: "127.0.0.1:{admin_port}"}}
log: {{access: false, level: warning, format: text}}

issuers:
  demo:
    issuer: {issuer}
    audience: orders-api

upstreams:
  orders: {{url: "{upstream}"}}

routes:
  - name: health                    # anyone
    path: /health
    methods: [GET]
    upstream: orders
    public: true

  - name: read-orders               # a token with the scope, for its own tenant alone
    path: /orders/{{tenant}}
    methods: [GET]
    upstream: orders
    require:
      scopes: [orders:read]
      claims: {{tenant: "{{tenant}}"}}

  - name: write-orders
    path: /orders/{{tenant}}
    methods: [POST]
    upstream: orders
    require:
      scopes: [orders:write]
      claims: {{tenant: "{{tenant}}"}}
"""


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
