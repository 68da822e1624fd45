"""A user lets an application in, and the whole life of the token that it gets (RFC 6749 §4.1, RFC 7636, RFC 9207)."""

from __future__ import annotations

from gateway.demo.stories.end_of_a_token import ASK, END_OF_A_TOKEN
from gateway.demo.story import ASKS_SERVER, Begin, Decode, Expected, Send, Step, Story, TakeAnswer, Visit, call

SIGN_IN = Visit("$authorization_url", "Go and sign in", "The name is `alice`, and so is the password.", True)

REDEEM = Send(
    title="The client redeems the code",
    way=ASKS_SERVER,
    expects=Expected(200),
    url="$token_endpoint",
    form={
        "grant_type": "authorization_code",
        "code": "$code",
        "redirect_uri": "$redirect_uri",
        "client_id": "demo-web",
        "code_verifier": "$code_verifier",
    },
    keeps={"access_token": "access_token", "refresh_token": "refresh_token", "id_token": "id_token"},
)

CODE = Story(
    name="code",
    title="Let an application in",
    subtitle="Authorization code with PKCE",
    summary="You sign in and allow an application to read your orders. Then follow its token: used, refused, expired, "
    "refreshed, revoked.",
    standards="RFC 6749 §4.1, RFC 7636, RFC 9207, RFC 9068, RFC 7009",
    before="""
        An application wants to read your orders. It is the *client*, here `demo-web`: this tour. It never sees
        your password: you tell the authorization server that it may, and the client gets a token for just that.

        You are alice, and your password is `alice`. If you would rather be bob, do: his password is `bob`, and
        he has other orders.
    """,
    ending="""
        That was the whole life of a token: asked for, issued, used, refused, expired, refreshed, revoked. Where
        there is a user with a browser, this is the flow to take. The others are for whoever has none.
    """,
    steps=(
        Step(
            title="The link",
            before="""
                First the client makes a link to the authorization server. For this one sign-in it
                thinks up two random values: `state`, and a `code_verifier` of which the link shows no
                more than a hash.
            """,
            button="Make the link",
            parts=(Begin("openid profile orders:read"),),
            after="""
                Nothing has been sent yet. All of it stands in the link, and none of it is a secret:
                whoever reads it can’t redeem what comes back, for that takes the `code_verifier` (PKCE,
                RFC 7636).
            """,
        ),
        Step(
            title="Sign in and say yes",
            before="""
                Your browser goes to the authorization server with that link. There you sign in, read
                what the application wants, and approve. You come back by yourself.
            """,
            visit=SIGN_IN,
            parts=(TakeAnswer(),),
            after="""
                Your browser has brought an *authorization code*. It is good once, for a minute, and
                only together with the `code_verifier`. Before the client uses it, it looks where the
                answer comes from: `state` keeps out what somebody else has begun (RFC 6749 §10.12),
                `iss` what another authorization server says (RFC 9207).

                At once the client has sent your browser on to an address without the code: addresses
                stay in the history.
            """,
        ),
        Step(
            title="The code for tokens",
            before="""
                Now the client speaks to the authorization server directly, without your browser. It
                hands in the code and the `code_verifier`; the server hashes that and compares it with
                the `code_challenge` of the link.
            """,
            button="Redeem the code",
            parts=(REDEEM, Decode("The access token from inside", "access_token", {"tenant": "tenant"})),
            after="""
                Three tokens. The *access token* is for the API. Here it is a JWT (RFC 9068): everybody
                can read it, and nobody can change it without breaking its signature. The *refresh
                token* is for the authorization server alone, and gets the next access token. The *ID
                token* tells the client who has signed in (OpenID Connect); no API takes it.
            """,
        ),
        Step(
            title="The API says yes",
            before="""
                The client asks the API for your orders and shows the access token. The gateway checks
                the token, then the rules of the route, and passes the request on.
            """,
            button="Ask for the orders",
            parts=(call(ASK, "GET", "/orders/$tenant", Expected(200), token="access_token"),),
            after="""
                `200`. With it stands how the gateway came to that, check by check, with the lines of
                its configuration. The API got no token: it is told who calls in fields such as
                `X-Auth-Subject`, which the gateway sets and nobody outside can.
            """,
        ),
        Step(
            title="A scope is missing",
            before="""
                You have allowed the application to read. What if it tries to write all the same? `POST`
                needs the scope `orders:write`.
            """,
            button="Try to place an order",
            parts=(
                call(
                    "The client tries to order a hammer in your name",
                    "POST",
                    "/orders/$tenant",
                    Expected(403, "scope_insufficient"),
                    token="access_token",
                    body="hammer",
                ),
            ),
            after="""
                `403` and `insufficient_scope` (RFC 6750 §3.1). The challenge names the scope that the
                route needs, so that the client can ask you for it. The API has not heard of this
                request.
            """,
        ),
        *END_OF_A_TOKEN,
    ),
)
