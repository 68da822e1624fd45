"""Who is who, and how a client finds its way from the address of an API (RFC 6749 §1.1, RFC 9728, RFC 8414)."""

from __future__ import annotations

from gateway.demo.story import ASKS_API, ASKS_SERVER, Expected, Send, Step, Story, call

ROLES = Story(
    name="who-is-who",
    title="Who is who",
    subtitle="The four roles, and how they find each other",
    summary="A client knows nothing but the address of an API. Four requests later it knows whom to ask for a token.",
    standards="RFC 6749 §1.1, RFC 6750, RFC 9728, RFC 8414",
    before="""
        An application wants something of an API and knows nothing but its address. All the rest it can find
        out: who guards the API, who issues tokens for it, and how to ask for one.
    """,
    ending="""
        You have met all four. You are the *resource owner*: the orders are yours. The *client* is an
        application that wants to read them, on this tour the tour itself. The *authorization server* knows you
        and issues tokens. The *resource server* is the API, and the gateway speaks for it. How a token comes
        about is the next story.
    """,
    steps=(
        Step(
            title="Ask without a token",
            before="""
                The client asks for orders as if nobody stood in the way. The answer comes from the
                gateway: for everybody outside, it is the resource server.
            """,
            button="Send the request",
            parts=(
                call(
                    "The client asks the API",
                    "GET",
                    "/orders/acme",
                    Expected(401, "token_missing"),
                    finds={"resource_metadata": 'resource_metadata="([^"]+)"'},
                ),
            ),
            after="""
                `401` with a challenge: `WWW-Authenticate` asks for a bearer token (RFC 6750 §3), names
                the scope that it needs, and says where to read more. The API has not heard of this
                request.
            """,
        ),
        Step(
            title="Who guards this API?",
            before="The challenge has the address of a document. The client fetches it.",
            button="Fetch the resource metadata",
            parts=(
                Send(
                    title="The client asks the gateway about the API",
                    way=ASKS_API,
                    expects=Expected(200),
                    method="GET",
                    url="$resource_metadata",
                    keeps={"authorization_server": "authorization_servers"},
                ),
            ),
            after="""
                The resource metadata (RFC 9728) name the authorization servers whose tokens are taken
                here, and the scopes. The gateway writes them out of its own configuration.
            """,
        ),
        Step(
            title="How do I get a token there?",
            before="Now the client knows the authorization server, and asks it what it can do.",
            button="Fetch the server’s metadata",
            parts=(
                Send(
                    title="The client asks the authorization server about itself",
                    way=ASKS_SERVER,
                    expects=Expected(200),
                    method="GET",
                    url="$authorization_server/.well-known/oauth-authorization-server",
                    keeps={"keys_of_server": "jwks_uri"},
                ),
            ),
            after="""
                Its metadata (RFC 8414) say where users go (`authorization_endpoint`), where tokens are
                given out (`token_endpoint`), which grants there are, and that it wants PKCE with S256.
                A client has to be told no more than an address and its own `client_id`.
            """,
        ),
        Step(
            title="How can a token be told from a forged one?",
            before="One address of the metadata is `jwks_uri`: the keys with which its tokens can be checked.",
            button="Fetch the keys",
            parts=(
                Send(
                    title="Anybody may ask for the public keys",
                    way=ASKS_SERVER,
                    expects=Expected(200),
                    method="GET",
                    url="$keys_of_server",
                ),
            ),
            after="""
                Public keys (RFC 7517): good for checking a signature, not for making one. The gateway
                has fetched them too, and fetches them again before they are old. So it judges a token
                by itself and need not ask the authorization server on each request.
            """,
        ),
    ),
)
