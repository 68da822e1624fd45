"""The grants as a person at the terminal goes through them; each ends with a token or a `Failure`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.cli.token.browser import open_browser
from gateway.cli.token.connection import Connection
from gateway.cli.token.exit_status import Unfinished, WrongOption
from gateway.cli.token.failures import told
from gateway.cli.token.loopback import RedirectAddress, RedirectListener
from gateway.cli.token.terminal import Teller, in_words
from gateway.oauth import authorization_code
from gateway.oauth.authorization_code import AuthorizationRequest, ForeignAnswer
from gateway.oauth.device_authorization import DeviceAuthorization, authorize_device, wait_for_user
from gateway.oauth.token_endpoint import TokenEndpoint, TokenResponse


@dataclass(frozen=True, slots=True)
class Asked:
    """What a token is asked for, and how the user takes part. `wait` is how long a user has, in seconds."""

    client_id: str
    scope: str
    resources: Sequence[str]
    parameters: Mapping[str, str]
    redirect: RedirectAddress
    opens_browser: bool
    wait: float


class Grants:
    """What one client can do at one authorization server."""

    def __init__(self, connection: Connection, asked: Asked, teller: Teller) -> None:
        self._connection = connection
        self.server = connection.server
        self._asked = asked
        self._teller = teller
        self._odd: set[str] = set()
        self._endpoint = TokenEndpoint(
            connection.client,
            connection.server,
            connection.authentication,
            resources=asked.resources,
            parameters=asked.parameters,
        )

    async def client_credentials(self) -> TokenResponse:
        """For the client itself (RFC 6749 §4.4)."""
        with told("client credentials", self.server.issuer, self.server):
            return await self._endpoint.client_credentials(self._asked.scope)

    async def refresh(self, refresh_token: str) -> TokenResponse:
        """For a user who signed in before (RFC 6749 §6). Raises what the token endpoint raises."""
        return await self._endpoint.refresh(refresh_token)

    # --- authorization code ------------------------------------------------------------------------------------

    async def authorization_code(self) -> TokenResponse:
        """For a user with a browser on this machine (RFC 8252, RFC 7636)."""
        async with contextlib.AsyncExitStack() as stack:
            redirect = self._asked.redirect
            try:
                listener = await stack.enter_async_context(RedirectListener(redirect))
            except OSError as problem:
                raise WrongOption(
                    f"{redirect.at(redirect.port)} can't be listened at: {problem.strerror}",
                    "--redirect-uri names another port; port 0 takes a free one.",
                ) from None
            with told("sign-in", self.server.issuer, self.server):
                return await self._signed_in(listener)

    async def _signed_in(self, listener: RedirectListener) -> TokenResponse:
        request = authorization_code.begin(
            self.server,
            self._asked.client_id,
            listener.redirect_uri,
            self._asked.scope,
            resources=self._asked.resources,
            parameters=self._asked.parameters,
        )
        received: list[TokenResponse] = []

        async def receive(query: str) -> None:
            received.append(await self._redeemed(request, query))

        listener.expect(receive)
        await self._send_browser(request)
        try:
            async with (
                asyncio.timeout(self._asked.wait),
                self._teller.countdown("waiting for the browser", self._asked.wait),
            ):
                await listener.wait()
        except TimeoutError:
            raise Unfinished(
                f"nobody signed in within {in_words(self._asked.wait)}",
                "run the command again; --wait SECONDS gives more time. Without a browser on this machine: "
                "--grant device_code.",
            ) from None
        return received[0]

    async def _send_browser(self, request: AuthorizationRequest) -> None:
        address = request.address
        if self.server.promises("require_pushed_authorization_requests"):
            connection = self._connection
            address = await request.push(connection.client, connection.authentication, self._asked.client_id)
        self._teller.say("Sign in with a browser on this machine:", "", f"  {address}", "")
        if self._asked.opens_browser:
            is_open = await open_browser(address, os.environ)
            self._teller.detail("a browser opens" if is_open else "no browser could be opened")

    async def _redeemed(self, request: AuthorizationRequest, query: str) -> TokenResponse:
        try:
            code = request.code_of(query)
        except ForeignAnswer as odd:
            if str(odd) not in self._odd:  # a page of the web could send any number of them
                self._teller.say(f"an answer was refused: {odd}; still waiting for the right one")
            self._odd.add(str(odd))
            raise
        self._teller.detail("the browser brought a code; it is redeemed with its verifier (PKCE)")
        return await self._endpoint.redeem_code(code, request.redirect_uri, request.verifier)

    # --- device code -------------------------------------------------------------------------------------------

    async def device_code(self) -> TokenResponse:
        """For a user with a browser anywhere (RFC 8628)."""
        connection, asked = self._connection, self._asked
        with told("device grant", self.server.issuer, self.server):
            device = await authorize_device(
                connection.client,
                self.server,
                connection.authentication,
                asked.scope,
                resources=asked.resources,
                parameters=asked.parameters,
            )
            self._show(device)
            async with self._teller.countdown("waiting for you", device.expires_in):
                return await wait_for_user(self._endpoint, device, told=self._tell_poll)

    def _show(self, device: DeviceAuthorization) -> None:
        say = self._teller.say
        say("On any device, open", "", f"  {device.verification_uri}", "")
        say("and enter the code", "", f"  {device.user_code}", "")
        if device.verification_uri_complete is not None:
            say("or open this address, and compare the code:", "", f"  {device.verification_uri_complete}", "")

    def _tell_poll(self, came_to: str) -> None:
        if came_to in ("timeout", "unreachable"):
            self._teller.say("the issuer does not answer; asking again")
        elif came_to == "slow_down":
            self._teller.detail("the issuer wants to be asked less often")
