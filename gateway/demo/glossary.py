"""What parameters, members of answers and claims mean, in a line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PARAMETERS: Final[Mapping[str, str]] = {
    # the authorization request
    "response_type": "An authorization code is wanted: tokens themselves don’t go through browsers any more.",
    "client_id": "Who asks: the name under which the client is registered. No secret.",
    "redirect_uri": "Where the answer goes. The server sends it nowhere that is not registered for the client.",
    "scope": "What it may be used for: as little as needed. `openid` and `profile` are about who you are.",
    "state": "A random value that has to come back: so the client knows its own sign-in again.",
    "code_challenge": "The SHA-256 hash of the `code_verifier`, which the client keeps.",
    "code_challenge_method": "How it was hashed. `plain` would show the verifier itself.",
    "code_verifier": "The random value behind the `code_challenge`: proof of having made the link.",
    # the authorization response
    "code": "The authorization code: good once, for a minute, with the `code_verifier` alone.",
    "iss": "Which authorization server says so.",
    "error": "Why there is nothing, in a word of the RFC.",
    "error_description": "The same for people.",
    # the token endpoint
    "grant_type": "What is handed in for a token: a code, a refresh token, a device code, or the client’s own secret.",
    "refresh_token": "Gets the next access token. For the authorization server alone.",
    "device_code": "What the device asks with. It stays in the device.",
    "access_token": "For the API, in the `Authorization` field of each request.",
    "token_type": "How it is shown: whoever bears it may use it.",
    "expires_in": "Seconds until it ends.",
    "id_token": "Tells the client who signed in (OpenID Connect). For no API.",
    # device authorization
    "user_code": "What you compare or type.",
    "verification_uri": "Where you type it.",
    "verification_uri_complete": "The same with the code in it, as a link or to be scanned.",
    "interval": "Seconds that the device waits between two questions.",
    # revocation and introspection
    "token": "The token in question.",
    "token_type_hint": "Which kind it is, so that the server finds it sooner.",
    "active": "Whether it is good, here and now.",
    "username": "Who is behind it.",
}

CLAIMS: Final[Mapping[str, str]] = {
    "alg": "How it is signed.",
    "typ": "An access token (RFC 9068), so that no ID token is taken for one.",
    "kid": "Which key of the authorization server has signed it.",
    "iss": "Who issued it: the authorization server.",
    "sub": "On whose behalf: the user, or the client itself where there is none.",
    "aud": "For which API. Any other has to refuse it.",
    "client_id": "Which client got it.",
    "scope": "What it may be used for.",
    "iat": "When it was issued.",
    "exp": "When it ends.",
    "auth_time": "When the user signed in.",
    "jti": "Its own number, by which it can be put on a deny list.",
    "tenant": "A claim of this demo: whose orders these are.",
}

MOMENTS: Final = frozenset({"iat", "exp", "auth_time", "nbf"})
"""Claims that are a time, in seconds since 1970."""
