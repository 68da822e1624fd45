"""Proof Key for Code Exchange with S256, which public clients cannot do without (RFC 7636, RFC 9700 §2.1.1)."""

from __future__ import annotations

import re
from typing import Any, Final

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7636 import CodeChallenge

METHOD: Final = "S256"
# 32 bytes of SHA-256 in base64url.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9\-_]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


class ProofKey(CodeChallenge):  # type: ignore[misc]  # authlib has no types
    """Stricter than authlib's: the challenge is asked for at once, and `plain` is no method."""

    SUPPORTED_CODE_CHALLENGE_METHOD = (METHOD,)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        """Judge the authorization request (RFC 7636 §4.3). Raises `InvalidRequestError`."""
        parameters = grant.request.form
        challenge, method = parameters.get("code_challenge"), parameters.get("code_challenge_method")
        if challenge is None and method is None and not grant.client.is_public:
            return
        if challenge is None:
            raise InvalidRequestError("code challenge required")
        # Without a method the challenge counts as `plain` (RFC 7636 §4.3), which protects from nobody who reads it.
        if method != METHOD:
            raise InvalidRequestError("transform algorithm not supported: code_challenge_method must be S256")
        if not _CHALLENGE.fullmatch(challenge):
            raise InvalidRequestError("code_challenge must be the base64url of a SHA-256")

    def validate_code_verifier(self, grant: Any, result: object) -> None:
        """Judge the token request (RFC 7636 §4.6). Raises `InvalidRequestError` or `InvalidGrantError`."""
        verifier = grant.request.form.get("code_verifier")
        # authlib's pattern lets a line feed pass at the end.
        if verifier is not None and not _VERIFIER.fullmatch(verifier):
            raise InvalidRequestError("code_verifier must be 43 to 128 letters, digits or -._~")
        super().validate_code_verifier(grant, result)
