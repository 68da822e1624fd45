"""How a token ends: it expires and is refreshed, and it is revoked (RFC 6749 §6, RFC 7009, RFC 7662)."""

from __future__ import annotations

from gateway.demo.story import ASKS_SERVER, Decode, Expected, Role, Send, Shorten, Step, call

ASK = "The client asks the API for your orders"

REFRESH_FORM = {"grant_type": "refresh_token", "refresh_token": "$refresh_token", "client_id": "demo-web"}

END_OF_A_TOKEN = (
    Step(
        title="A token that ends soon",
        before="""
            Access tokens end by themselves, here after an hour. So that you need not wait that long, the
            authorization server issues the same token once more, for 8 seconds.
        """,
        button="Take the short one",
        parts=(
            Shorten("access_token", "short_token", 8),
            call(ASK, "GET", "/orders/$tenant", Expected(200), token="short_token"),
        ),
        after="Still good: `200`, as long as the time runs.",
    ),
    Step(
        title="Expired",
        before="Once a token has ended, it is worth nothing, to a thief neither. Its `exp` says when.",
        button="Ask once more",
        waits_for="short_token",
        waiting="The token ends in",
        parts=(call(ASK, "GET", "/orders/$tenant", Expected(401, "token_expired"), token="short_token"),),
        after="""
            `401` and `invalid_token`: the client learns that it needs another token. You need not be asked
            for it.
        """,
    ),
    Step(
        title="Refreshed",
        before="The client hands in its refresh token, gets a new access token (RFC 6749 §6), and asks again.",
        button="Refresh",
        parts=(
            Send(
                title="The client asks for the next token",
                way=ASKS_SERVER,
                expects=Expected(200),
                url="$token_endpoint",
                form=REFRESH_FORM,
                keeps={"access_token": "access_token", "refresh_token": "refresh_token"},
            ),
            Decode("The new access token from inside", "access_token", {"jti": "jti"}),
            call(ASK, "GET", "/orders/$tenant", Expected(200), token="access_token"),
        ),
        after="""
            The refresh token is a new one too: each is good once. If the old one ever came again, somebody
            would have stolen it, and the authorization server would end them all (RFC 9700 §4.14.2).
        """,
    ),
    Step(
        title="Revoked",
        before="""
            You have had enough of the application, or it signs you out: it gives its refresh token back
            (RFC 7009). Then it tries whether it can have a new token nevertheless.
        """,
        button="Revoke it",
        parts=(
            Send(
                title="The client gives its refresh token back",
                way=ASKS_SERVER,
                expects=Expected(200),
                url="$revocation_endpoint",
                form={"token": "$refresh_token", "token_type_hint": "refresh_token", "client_id": "demo-web"},
            ),
            Send(
                title="And tries to refresh once more",
                way=ASKS_SERVER,
                expects=Expected(400, "invalid_grant"),
                url="$token_endpoint",
                form=REFRESH_FORM,
            ),
        ),
        after="""
            `200` without a word: that is all there is to say, also about a token that nobody knows (RFC
            7009 §2.2). No further token is to be had. But what about the access token that the client still
            holds?
        """,
    ),
    Step(
        title="Does the gateway know?",
        before="""
            The access token is a JWT, which the gateway judges by signature and time, without asking
            anybody. Two requests with it: for the orders, and for the invoices, whose route says
            `introspect: true`.
        """,
        button="Ask for both",
        parts=(
            call(ASK, "GET", "/orders/$tenant", Expected(200), token="access_token"),
            call(
                "The client asks the API for your invoices",
                "GET",
                "/invoices/$tenant",
                Expected(401, "token_inactive"),
                token="access_token",
            ),
        ),
        after="""
            Your orders are still given out: nobody has told the gateway, and the token has not ended. Your
            invoices are not: for them the gateway asks the authorization server about each token (RFC
            7662), and hears that this one is not active any more. Which of the two a route wants is a line
            of its configuration.
        """,
    ),
    Step(
        title="Refused everywhere",
        before="""
            Where it has to be everywhere and at once, an operator puts the token on the gateway’s deny
            list, by its `jti`. Then the client asks for the orders again.
        """,
        button="Put it on the deny list",
        parts=(
            Send(
                title="The operator tells the gateway",
                way=(Role.OPERATOR, Role.GATEWAY),
                expects=Expected(201),
                url="$admin/api/revocations",
                fields={"Authorization": "Bearer $admin_token"},
                document={"issuer": "demo", "jti": "$jti"},
            ),
            call(ASK, "GET", "/orders/$tenant", Expected(401, "token_revoked"), token="access_token"),
        ),
        after="""
            `token_revoked`, though the token is well signed and in time. The list takes users, clients and
            sessions too, is shared by all workers, and can be told by the authorization server itself
            (OpenID Connect back-channel logout).
        """,
    ),
)
