"""The endpoints for programs: metadata, keys, token, device authorization, introspection, revocation, registration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from authlib.oauth2 import OAuth2Error

from gateway.devauth import answers, forms
from gateway.devauth.grants import Answer, Grants
from gateway.devauth.metadata import metadata
from gateway.devauth.userinfo import userinfo

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Endpoints:
    """Speaks HTTP for `Grants`. `path` is the issuer's."""

    def __init__(self, grants: Grants, scopes: Iterable[str], path: str) -> None:
        self._grants = grants
        self._scopes = tuple(scopes)
        self._path = path

    def routes(self) -> Iterable[web.RouteDef]:
        """Where requests go. A page of any origin may ask all but those that no page has a use for."""
        open_to_pages = {
            "/token": self._token,
            "/device_authorization": self._endpoint("device_authorization"),
            "/revoke": self._endpoint("revocation"),
            "/userinfo": self._userinfo,
        }
        for path, handler in open_to_pages.items():
            yield web.post(f"{self._path}{path}", _for_any_origin(_with_errors(handler)))
            yield web.options(f"{self._path}{path}", _preflight)
        yield web.get(f"{self._path}/userinfo", _for_any_origin(self._userinfo))
        yield web.post(f"{self._path}/introspect", _with_errors(self._endpoint("introspection")))
        yield web.post(f"{self._path}/register", _with_errors(self._register))
        yield web.post(f"{self._path}/rotate-keys", self._rotate_keys)
        yield web.get(f"{self._path}/jwks", self._jwks)
        for path in sorted(self._metadata_paths()):
            yield web.get(path, self._metadata)

    def _metadata_paths(self) -> set[str]:
        """RFC 8414 §3 puts the well-known part before the issuer's path, OpenID Connect Discovery §4 behind it."""
        names = ("oauth-authorization-server", "openid-configuration")
        before = {f"/.well-known/{name}{self._path}" for name in names}
        return before | {f"{self._path}/.well-known/{name}" for name in names}

    async def _metadata(self, _: web.Request) -> web.Response:
        tokens = self._grants.tokens
        document = metadata(tokens.issuer, self._scopes, tokens.keys.algorithm)
        return web.json_response(document, headers=answers.FOR_ANY_ORIGIN)

    async def _jwks(self, _: web.Request) -> web.Response:
        headers = {"Cache-Control": "max-age=60", **answers.FOR_ANY_ORIGIN}
        return web.json_response(self._grants.tokens.keys.public(), headers=headers)

    async def _token(self, request: web.Request) -> web.Response:
        return _response(self._grants.token(await forms.once(request), request.headers))

    def _endpoint(self, name: str) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            return _response(self._grants.endpoint(name, await forms.once(request), request.headers))

        return answer

    async def _register(self, request: web.Request) -> web.Response:
        return _response(self._grants.register_client(await forms.document(request)))

    async def _userinfo(self, request: web.Request) -> web.Response:
        return userinfo(request, self._grants.tokens)

    async def _rotate_keys(self, request: web.Request) -> web.Response:
        if "Origin" in request.headers:
            return answers.as_error("invalid_request", "this is not for pages", 403)
        return answers.as_json({"kid": self._grants.tokens.keys.rotate()})


def _with_errors(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except OAuth2Error as error:
            return answers.of(error)

    return answer


def _for_any_origin(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        found = await handler(request)
        found.headers.update(answers.FOR_ANY_ORIGIN)
        return found

    return answer


async def _preflight(_: web.Request) -> web.Response:
    """What a page of another origin may send (Fetch §3.2)."""
    headers = {
        **answers.FOR_ANY_ORIGIN,
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": "600",
    }
    return web.Response(status=204, headers=headers)


def _response(answer: Answer) -> web.Response:
    status, body, _ = answer
    return answers.as_json(body, status)
