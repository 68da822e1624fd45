"""A program that acts for itself, with a secret and without a user (RFC 6749 §4.4)."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.demo.story import ASKS_SERVER, Decode, Expected, Send, Step, Story, basic, call

SECRET = basic("demo-service", "demo-service-secret")


def ask_for_token(title: str, scope: str, fields: Mapping[str, str], expects: Expected) -> Send:
    """The client asks for a token of its own."""
    return Send(
        title=title,
        way=ASKS_SERVER,
        expects=expects,
        url="$token_endpoint",
        fields=fields,
        form={"grant_type": "client_credentials", "scope": scope},
        keeps={"access_token": "access_token"} if expects.status == 200 else {},
    )


CLIENT_CREDENTIALS = Story(
    name="client-credentials",
    title="A program on its own",
    subtitle="Client credentials",
    summary="A job that runs at night has no user who could sign in. It has a secret, and acts for itself.",
    standards="RFC 6749 §4.4, RFC 6749 §2.3.1, RFC 7009",
    before="""
        A job runs at night and collects orders. There is no user who could sign in and approve: the client acts
        for itself. It is registered as `demo-service`, has a secret, and belongs to the tenant `acme`.
    """,
    ending="""
        One request for a token, no browser, no user. It is the simplest flow, and no way around the first one:
        a program that acts for a user needs that user’s consent.
    """,
    steps=(
        Step(
            title="Ask for a token",
            before="""
                One request. The client proves who it is with its secret: in the field `Authorization: Basic` stands
                `demo-service:demo-service-secret`, in base64. It asks for no more than it needs: `orders:read`.
            """,
            button="Ask for a token",
            parts=(
                ask_for_token("The client asks for a token", "orders:read", SECRET, Expected(200)),
                Decode("The access token from inside", "access_token"),
            ),
            after="""
                `sub` is the client itself. A refresh token is not needed (RFC 6749 §4.4.3): with its
                secret the client gets another token at any time. The secret goes to the authorization
                server alone, and to no API.
            """,
        ),
        Step(
            title="Read",
            before="The client shows its token to the API.",
            button="Ask for the orders",
            parts=(
                call("The client asks for acme’s orders", "GET", "/orders/acme", Expected(200), token="access_token"),
            ),
            after="""
                `200`. The route wants the scope `orders:read`, and it wants the claim `tenant` to be
                the tenant in the path: one line in the configuration of the gateway.
            """,
        ),
        Step(
            title="What it may not do",
            before="The same token, for another tenant’s orders, and then for writing.",
            button="Try both",
            parts=(
                call(
                    "The client asks for globex’s orders",
                    "GET",
                    "/orders/globex",
                    Expected(403, "claim_refused"),
                    token="access_token",
                ),
                call(
                    "The client tries to order a hammer",
                    "POST",
                    "/orders/acme",
                    Expected(403, "scope_insufficient"),
                    token="access_token",
                    body="hammer",
                ),
            ),
            after="""
                Twice `403`, and not the same. No scope in the world would help with the first, so there
                is no challenge that asks for one. The second names what is missing: `orders:write`.
            """,
        ),
        Step(
            title="Ask for more, and write",
            before="The client may have that scope too. It asks for another token, with both.",
            button="Get both scopes",
            parts=(
                ask_for_token("The client asks for another token", "orders:read orders:write", SECRET, Expected(200)),
                call(
                    "The client orders a hammer",
                    "POST",
                    "/orders/acme",
                    Expected(201),
                    token="access_token",
                    body="hammer",
                ),
            ),
            after="""
                `201`. Tokens with as little as possible are a good habit (RFC 9700 §2.3): one that can
                only read does less harm when it gets lost.
            """,
        ),
        Step(
            title="A wrong secret",
            before="And whoever does not know the secret?",
            button="Guess one",
            parts=(
                ask_for_token(
                    "Somebody guesses a secret",
                    "orders:read",
                    basic("demo-service", "a-guess"),
                    Expected(401, "invalid_client"),
                ),
            ),
            after="""
                `invalid_client` (RFC 6749 §5.2). A client that does not exist gets the very same
                answer, so that nobody finds out by trying which ones there are.
            """,
        ),
        Step(
            title="Give it back",
            before="""
                The job is done, and the token would be good for an hour more. The client gives it back
                and then tries it once again, for the invoices, where the gateway asks the authorization
                server each time.
            """,
            button="Revoke it",
            parts=(
                Send(
                    title="The client gives its token back",
                    way=ASKS_SERVER,
                    expects=Expected(200),
                    url="$revocation_endpoint",
                    fields=SECRET,
                    form={"token": "$access_token"},
                ),
                call(
                    "The client asks for acme’s invoices",
                    "GET",
                    "/invoices/acme",
                    Expected(401, "token_inactive"),
                    token="access_token",
                ),
            ),
            after="`token_inactive`: the authorization server has said so when the gateway asked (RFC 7662).",
        ),
    ),
)
