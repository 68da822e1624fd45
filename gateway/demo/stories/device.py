"""A device without a keyboard: it shows a code, and the user approves elsewhere (RFC 8628)."""

from __future__ import annotations

from gateway.demo.story import ASKS_SERVER, Decode, Expected, Later, Send, Step, Story, Visit, call
from gateway.devauth.clients import DEVICE_CODE

INTERVAL_AFTER_SLOW_DOWN = 10


def poll(title: str, expects: Expected) -> Send:
    """The device asks whether the user has decided (RFC 8628 §3.4)."""
    return Send(
        title=title,
        way=ASKS_SERVER,
        expects=expects,
        url="$token_endpoint",
        form={"grant_type": DEVICE_CODE, "device_code": "$device_code", "client_id": "demo-device"},
        keeps={"access_token": "access_token"} if expects.status == 200 else {},
    )


DEVICE = Story(
    name="device-code",
    title="A screen without a keyboard",
    subtitle="Device code",
    summary="A television or a command line elsewhere shows a short code. You approve on another screen.",
    standards="RFC 8628",
    before="""
        A television, a printer, a command line on another machine: it can show a few letters, and is no place
        to type a password. So you approve somewhere else, on your phone or here in another window, and the
        device waits.
    """,
    ending="""
        The device has a token for you and has never seen your password. What the token is worth, and how it
        ends, is as with any other.
    """,
    steps=(
        Step(
            title="The device asks for codes",
            before="The device is the client `demo-device`. It has no secret and no browser.",
            button="Ask for codes",
            parts=(
                Send(
                    title="The device asks for codes",
                    way=ASKS_SERVER,
                    expects=Expected(200),
                    url="$device_authorization_endpoint",
                    form={"client_id": "demo-device", "scope": "orders:read"},
                    keeps={
                        name: name
                        for name in ("device_code", "user_code", "verification_uri", "verification_uri_complete")
                    },
                ),
            ),
            after="""
                Two codes. The `user_code` is short, and for you: the device shows it with the address.
                The `device_code` is long, stays in the device, and is what it asks with.
            """,
        ),
        Step(
            title="It asks, and has to wait",
            before="Nobody has decided yet. The device asks all the same, and then at once again, which it should not.",
            button="Ask twice",
            parts=(
                poll("The device asks", Expected(400, "authorization_pending")),
                poll("And asks again at once", Expected(400, "slow_down")),
                Later("next_poll", INTERVAL_AFTER_SLOW_DOWN),
            ),
            after="""
                `authorization_pending`: go on asking, every `interval` seconds. `slow_down`: that was
                too soon, wait five seconds longer from now on (RFC 8628 §3.5).
            """,
        ),
        Step(
            title="You approve",
            before="""
                Your device shows the code `$user_code`. Open the authorization server’s page in another
                window, compare the code, and approve. On a second device you would go to
                `$verification_uri` and type it.

                Then let the device ask again.
            """,
            visit=Visit(
                "$verification_uri_complete",
                "Open the page for devices",
                "If it asks who you are: `alice`, password `alice`.",
                False,
            ),
            button="I have approved: ask again",
            waits_for="next_poll",
            waiting="The device may ask again in",
            parts=(
                Later("next_poll", INTERVAL_AFTER_SLOW_DOWN),
                poll("The device asks again", Expected(200)),
                Decode("The access token from inside", "access_token", {"tenant": "tenant"}),
            ),
            after="""
                This time there is a token: `sub` is you, `client_id` the device. Whoever calls and asks
                you to type a code that they read out is a thief: approve only what your own device
                shows (RFC 8628 §5.4).
            """,
        ),
        Step(
            title="The API says yes",
            before="The device asks the API for your orders.",
            button="Ask for the orders",
            parts=(
                call(
                    "The device asks the API for your orders",
                    "GET",
                    "/orders/$tenant",
                    Expected(200),
                    token="access_token",
                ),
            ),
            after="`200`. To the gateway it is a token like any other: it does not matter how it was come by.",
        ),
    ),
)
