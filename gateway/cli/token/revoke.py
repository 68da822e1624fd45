"""`oauth-gateway token revoke`: has the issuer withdraw a token (RFC 7009), and forgets the stored one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import get_args

import click

from gateway.cli.token.connection import connected
from gateway.cli.token.exit_status import Unfinished, WrongOption
from gateway.cli.token.failures import told
from gateway.cli.token.lock import Locked, locked
from gateway.cli.token.options import ClientOptions, client_options, need_client, token_argument
from gateway.cli.token.store import Purpose, StoredToken, StoreProblem, TokenStore, default_folder
from gateway.cli.token.terminal import Teller, interruptible
from gateway.oauth.token_revocation import TokenTypeHint, revoke

_PATIENCE = 10.0


@click.command("revoke")
@click.argument("token", required=False)
@client_options
@click.option("--type", "hint", type=click.Choice(get_args(TokenTypeHint)), help="What TOKEN is, for slow issuers.")
@click.option("--local", "is_local", is_flag=True, help="Only delete what is stored; the issuer is not asked.")
def command(token: str | None, client: ClientOptions, hint: TokenTypeHint | None, is_local: bool) -> None:
    """Have the issuer withdraw TOKEN: the token itself, @FILE, or - for standard input.

    A token that begins with a dash goes behind --. Without TOKEN: all that is stored for this issuer and client,
    refresh tokens first; with --scope, what was asked for with these scopes. What is withdrawn is no longer stored.

    Exit status: 0 withdrawn, 1 the issuer refuses, 2 a wrong option, 3 the issuer can't be asked: then the token is
    still good, and still stored.
    """
    need_client(client)
    teller = Teller(is_verbose=client.is_verbose)
    with interruptible():
        revocation = Revocation(client, _store(), teller, is_local=is_local)
        if token is not None:
            asyncio.run(revocation.one(token_argument(token, client), hint))
        else:
            asyncio.run(revocation.stored())


def _store() -> TokenStore:
    try:
        return TokenStore(default_folder(os.environ))
    except StoreProblem as problem:
        raise WrongOption(str(problem)) from None


class Revocation:
    """Withdraws tokens of one client, and forgets them. With `is_local` it only forgets them."""

    def __init__(self, client: ClientOptions, store: TokenStore, teller: Teller, *, is_local: bool) -> None:
        self._client = client
        self._store = store
        self._teller = teller
        self._is_local = is_local

    async def one(self, token: str, hint: TokenTypeHint | None) -> None:
        """Withdraw this token, wherever it is from. Raises `Failure`."""
        await self._at_issuer([(token, hint)])
        for purpose, stored in self._found(None):
            if token in (stored.access_token, stored.refresh_token):
                async with self._alone(purpose):
                    self._forget(purpose, stored, keeps_refresh_token=token == stored.access_token)
        self._teller.say("deleted" if self._is_local else "revoked")

    async def stored(self) -> None:
        """Withdraw what is stored. Raises `Failure`."""
        found = self._found(self._client.scopes or None)
        if not found:
            self._teller.say("nothing is stored for this issuer, client and scope")
            return
        for purpose, _ in found:
            async with self._alone(purpose):
                # Another process may have refreshed it since.
                stored = self._store.load(purpose)
                if stored is not None:
                    await self._at_issuer(_tokens(stored))
                    self._forget(purpose, stored)
        count = f"{len(found)} stored token{'s' if len(found) > 1 else ''}"
        self._teller.say(f"{'deleted' if self._is_local else 'revoked'} {count}")

    def _found(self, scopes: frozenset[str] | None) -> list[tuple[Purpose, StoredToken]]:
        return self._store.find(self._client.issuer, self._client.client_id, scopes)

    async def _at_issuer(self, tokens: list[tuple[str, TokenTypeHint | None]]) -> None:
        if self._is_local:
            return
        async with connected(self._client, self._teller) as connection:
            for token, hint in tokens:
                with told("revocation", self._client.issuer, connection.server):
                    await revoke(connection.client, connection.server, connection.authentication, token, hint)
                self._teller.detail(f"the issuer takes it: {hint or 'the token'} is revoked")

    @contextlib.asynccontextmanager
    async def _alone(self, purpose: Purpose) -> AsyncIterator[None]:
        try:
            async with locked(self._store.lock_file(purpose), patience=_PATIENCE):
                yield
        except Locked as problem:
            raise Unfinished(str(problem), "end that one first.") from None
        except StoreProblem as problem:
            raise WrongOption(str(problem)) from None

    def _forget(self, purpose: Purpose, stored: StoredToken, *, keeps_refresh_token: bool = False) -> None:
        if keeps_refresh_token and stored.refresh_token is not None:
            # It is another permission: the next call gets a new access token with it.
            self._store.save(purpose, replace(stored, expires_at=stored.obtained_at))
        else:
            self._store.forget(purpose)
        self._teller.detail(f"no longer stored: {self._store.path(purpose)}")


def _tokens(stored: StoredToken) -> list[tuple[str, TokenTypeHint | None]]:
    """The refresh token first: with it, others could get new access tokens meanwhile (RFC 7009 §2.1)."""
    tokens: list[tuple[str, TokenTypeHint | None]] = [(stored.access_token, "access_token")]
    return [(stored.refresh_token, "refresh_token"), *tokens] if stored.refresh_token is not None else tokens
