"""What a thief gets who steals a code, changes a token, or comes with a used refresh token (RFC 9700 §4)."""

from __future__ import annotations

from gateway.demo.stories.code import REDEEM, SIGN_IN
from gateway.demo.story import ASKS_SERVER, Begin, Expected, Forge, Role, Send, Step, Story, TakeAnswer, Visit, call

STEALS = (Role.THIEF, Role.SERVER)


def refresh(title: str, way: tuple[Role, Role], token: str, expects: Expected, keeps: str = "") -> Send:
    """Somebody comes with a refresh token; `keeps` is the name for the next one."""
    return Send(
        title=title,
        way=way,
        expects=expects,
        url="$token_endpoint",
        form={"grant_type": "refresh_token", "refresh_token": f"${token}", "client_id": "demo-web"},
        keeps={"access_token": "access_token", keeps: "refresh_token"} if keeps else {},
    )


THIEF = Story(
    name="thief",
    title="What a thief gets",
    subtitle="Stolen codes, changed tokens, used refresh tokens",
    summary="The same sign-in once more, with somebody who listens. See what a stolen piece is worth.",
    standards="RFC 9700, RFC 7636, RFC 8725",
    before="""
        You sign in as before. This time somebody reads along: another program on your phone that gets hold of
        the code, or a copy of a log with tokens in it. How far do they come?
    """,
    ending="""
        Each of these attacks has worked against somebody’s system. None of it needs care on each request: PKCE,
        `state`, rotation and signatures are there once and for all.
    """,
    steps=(
        Step(
            title="The link",
            before="The client makes its link, with a new `state` and a new `code_verifier`.",
            button="Make the link",
            parts=(Begin("orders:read"),),
            after="The thief may read it. What the client keeps to itself is the `code_verifier`.",
        ),
        Step(
            title="Sign in and say yes",
            before="Your browser goes there, you approve, and it brings the code. The thief reads that too.",
            visit=Visit(SIGN_IN.url, SIGN_IN.button, "If it asks who you are: `alice`, password `alice`.", True),
            parts=(TakeAnswer(),),
            after="Now two have the code: the client, and the thief.",
        ),
        Step(
            title="The stolen code",
            before="The thief is quicker and redeems the code. That takes a `code_verifier`: a made-up one has to do.",
            button="Redeem the stolen code",
            parts=(
                Send(
                    title="The thief redeems the code",
                    way=STEALS,
                    expects=Expected(400, "invalid_grant"),
                    url=REDEEM.url,
                    form={**REDEEM.form, "code_verifier": "made-up-by-a-thief-who-has-never-seen-the-real-one"},
                ),
            ),
            after="""
                `invalid_grant`: the made-up one does not have the hash that stood in the link (RFC 7636
                §4.6). The code is worth nothing to whoever has only the code.
            """,
        ),
        Step(
            title="The client redeems it",
            before="The client comes later, with the right `code_verifier`.",
            button="Redeem the code",
            parts=(
                Send(
                    title=REDEEM.title,
                    way=REDEEM.way,
                    expects=REDEEM.expects,
                    url=REDEEM.url,
                    form=REDEEM.form,
                    keeps={"access_token": "access_token", "first_refresh_token": "refresh_token"},
                ),
            ),
            after="It gets its tokens. Say that the thief gets hold of these as well, out of a log.",
        ),
        Step(
            title="The changed token",
            before="""
                The access token can only read. It is a JWT, so the thief can see that, and can write
                `orders:write` into it. The signature stays as it is.
            """,
            button="Order with the changed token",
            parts=(
                Forge("The changed token from inside", "access_token", "forged_token", "orders:read orders:write"),
                call(
                    "The thief tries to order in your name",
                    "POST",
                    "/orders/acme",
                    Expected(401, "signature_invalid"),
                    token="forged_token",
                    body="hammer",
                    way=(Role.THIEF, Role.GATEWAY),
                ),
            ),
            after="""
                `signature_invalid`. Signing it anew would take the private key of the authorization server. A gateway
                that should tell nobody why says `expose_reason: false` in its configuration.
            """,
        ),
        Step(
            title="The used refresh token",
            before="""
                The client refreshes, as clients do, and so uses its refresh token up. Then the thief
                comes with a copy of it.
            """,
            button="Let both refresh",
            parts=(
                refresh("The client refreshes", ASKS_SERVER, "first_refresh_token", Expected(200), "next_token"),
                refresh(
                    "The thief comes with the used one",
                    STEALS,
                    "first_refresh_token",
                    Expected(400, "invalid_grant"),
                ),
            ),
            after="""
                `invalid_grant` again. And the authorization server has learned something: a refresh
                token that comes twice is in the hands of two, and it can’t tell which of them is the
                right one (RFC 9700 §4.14.2).
            """,
        ),
        Step(
            title="The alarm",
            before="So it has ended all that came from this sign-in. The client notices when it refreshes next.",
            button="Refresh as the client",
            parts=(
                refresh("The client refreshes once more", ASKS_SERVER, "next_token", Expected(400, "invalid_grant")),
            ),
            after="""
                The client has to ask you to sign in again: a small price, for the thief is out for
                good. Access tokens end on their own, or at once by introspection or the deny list, as
                in the story of the first token.
            """,
        ),
    ),
)
