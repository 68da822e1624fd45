"""Error responses of an authorization server (RFC 6749 §4.1.2.1, §5.2), read so that they can be shown to a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What `error` and `error_description` may hold (RFC 6749 Appendix A.7, A.8): no control characters, so none that a
# terminal obeys, and no quote that ends a header field.
_ALLOWED = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")
_LONGEST_CODE = 64
_LONGEST_DESCRIPTION = 300


class OAuthError(Exception):
    """The authorization server says no. `code` is the RFC's word; it and `description` are free of odd characters.

    `status` is that of the HTTP answer, None where the error came through the browser.
    """

    def __init__(self, code: str, description: str = "", *, status: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.status = status


def read_error(members: Mapping[str, Any], status: int | None = None) -> OAuthError | None:
    """The error that an answer tells of, None when it tells of none."""
    code = members.get("error")
    if not isinstance(code, str) or not code:
        return None
    description = members.get("error_description")
    return OAuthError(
        _clean(code, _LONGEST_CODE),
        _clean(description, _LONGEST_DESCRIPTION) if isinstance(description, str) else "",
        status=status,
    )


def _clean(text: str, longest: int) -> str:
    cleaned = _ALLOWED.sub("?", re.sub(r"\s+", " ", text[:longest].strip()))
    return f"{cleaned}..." if len(text) > longest else cleaned
