"""A token that tells nothing: the gateway asks whoever issued it (RFC 7662), and hears at once when it is revoked."""

from __future__ import annotations

from gateway.demo.story import ASKS_SERVER, Decode, Expected, Role, Send, Step, Story, basic, call

CLIENT = basic("demo-opaque", "demo-opaque-secret")


def introspect(title: str) -> Send:
    """What the gateway asks the authorization server, as its client `demo-service`."""
    return Send(
        title=title,
        way=(Role.GATEWAY, Role.SERVER),
        expects=Expected(200),
        url="$introspection_endpoint",
        fields=basic("demo-service", "demo-service-secret"),
        form={"token": "$access_token"},
    )


OPAQUE = Story(
    name="opaque-token",
    title="A token that tells nothing",
    subtitle="Opaque tokens and introspection",
    summary="Not every token is a JWT. This one is a random number, and what it is worth only its issuer knows.",
    standards="RFC 7662, RFC 7009",
    before="""
        A JWT can be read by whoever holds it, and is good until it ends. An opaque token is nothing but a
        random number: what it stands for, only its issuer knows. So the gateway asks, and hears at once when it
        has been revoked.
    """,
    ending="""
        Opaque or JWT is a trade: a question to the authorization server on each request, or a token that stays
        good for a while after it was revoked. The gateway takes both, and can remember answers for as long as
        you say (here for 0 seconds, so that you see each question).
    """,
    steps=(
        Step(
            title="Ask for a token",
            before="""
                The client `demo-opaque` gets its tokens like any other; this one by client credentials,
                to be short.
            """,
            button="Ask for a token",
            parts=(
                Send(
                    title="The client asks for a token",
                    way=ASKS_SERVER,
                    expects=Expected(200),
                    url="$token_endpoint",
                    fields=CLIENT,
                    form={"grant_type": "client_credentials", "scope": "orders:read"},
                    keeps={"access_token": "access_token"},
                ),
                Decode("A look into the token", "access_token"),
            ),
            after="""
                There is nothing to see in it: no issuer, no end, no scope. A client should not look
                into its tokens anyway; they are meant for the API (RFC 6749 §1.4).
            """,
        ),
        Step(
            title="The API says yes",
            before="The client shows it to the API. The gateway can’t judge it by itself.",
            button="Ask for the orders",
            parts=(
                call("The client asks for acme’s orders", "GET", "/orders/acme", Expected(200), token="access_token"),
            ),
            after="`200`, and one line more than with a JWT: the issuer was asked and says that the token is active.",
        ),
        Step(
            title="What the gateway has been told",
            before="""
                The very question that the gateway has asked, asked once more to be seen. The gateway
                has a client of its own for this, `demo-service`: not everybody may ask about tokens.
            """,
            button="Ask the same",
            parts=(introspect("The gateway asks about the token"),),
            after="""
                `active` is `true`, and with it comes all that a JWT would have said by itself. From
                here on the rules of the route are the same.
            """,
        ),
        Step(
            title="Revoked, and refused at once",
            before="The client gives the token back (RFC 7009), and tries it once more.",
            button="Revoke it",
            parts=(
                Send(
                    title="The client gives its token back",
                    way=ASKS_SERVER,
                    expects=Expected(200),
                    url="$revocation_endpoint",
                    fields=CLIENT,
                    form={"token": "$access_token"},
                ),
                call(
                    "The client asks for acme’s orders",
                    "GET",
                    "/orders/acme",
                    Expected(401, "token_inactive"),
                    token="access_token",
                ),
                introspect("What the gateway was told this time"),
            ),
            after="""
                `active` is `false`, and no word more: not whether the token was revoked, has ended, or
                never was (RFC 7662 §2.2).
            """,
        ),
    ),
)
