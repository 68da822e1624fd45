"""An issuer on loopback that publishes its metadata and keys, or fails in every way a test asks for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.world import public_jwks


class FakeIssuer:
    """For `async with`. `fault` is what happens instead of an answer; `requests` counts what was asked, by path."""

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.jwks: Any = json.loads(public_jwks())
        self.metadata: dict[str, Any] = {}
        self.metadata_at: set[str] = set()
        self.headers: dict[str, str] = {}
        self.fault: str | None = None
        self.requests: Counter[str] = Counter()
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.origin}{self.path}"

    async def __aenter__(self) -> FakeIssuer:
        application = web.Application()
        application.router.add_get("/{tail:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        if request.path == "/jwks":
            return await self._with_fault(request, self.jwks)
        usual = {f"/.well-known/oauth-authorization-server{self.path}"}
        if request.path in (self.metadata_at or usual):
            return web.json_response({"issuer": self.issuer, "jwks_uri": f"{self.origin}/jwks", **self.metadata})
        raise web.HTTPNotFound

    async def _with_fault(self, request: web.Request, document: Any) -> web.StreamResponse:
        if self.fault == "drop":
            assert request.transport is not None
            request.transport.abort()
        if self.fault == "hang":
            await asyncio.sleep(30)
        answers = {
            "status": web.Response(status=500),
            "redirect": web.Response(status=302, headers={"Location": f"{self.origin}/elsewhere"}),
            "huge": web.Response(body=b'{"keys": [], "x": "' + b"x" * 2**20 + b'"}'),
            "garbage": web.Response(body=b"<html>"),
            "duplicate": web.Response(body=b'{"keys": [], "keys": []}'),
            "empty": web.json_response({"keys": []}),
            "no keys": web.json_response({}),
            "packed": web.Response(body=b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}),
        }
        return answers.get(self.fault or "") or web.json_response(document, headers=self.headers)
