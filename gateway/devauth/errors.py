"""Errors that authlib does not have, or has with an echo of what was sent (RFC 6749 §4.1.2.1, §5.2)."""

from __future__ import annotations

from typing import Final

from authlib.oauth2 import OAuth2Error

_GRANTS_OF_THE_PAST: Final = frozenset({"password", "implicit"})
_IMPLICIT: Final = frozenset({"token", "id_token"})


class UnsupportedGrantType(OAuth2Error):  # type: ignore[misc]  # authlib has no types
    """`grant_type` is none that is supported."""

    error = "unsupported_grant_type"

    def __init__(self, grant_type: str) -> None:
        self.is_about_the_past = grant_type in _GRANTS_OF_THE_PAST
        super().__init__("this grant is gone" if self.is_about_the_past else "this grant is not supported")


class UnsupportedResponseType(OAuth2Error):  # type: ignore[misc]
    """`response_type` is none that is supported. Who asked for implicit looks for the answer in the fragment."""

    error = "unsupported_response_type"

    def __init__(self, response_types: frozenset[str]) -> None:
        self.is_about_the_past = not response_types.isdisjoint(_IMPLICIT)
        super().__init__("response_type must be code", redirect_fragment=self.is_about_the_past)


def is_about_the_past(error: OAuth2Error) -> bool:
    """Whether somebody asked for the implicit or the password grant: a page says why they are gone."""
    return isinstance(error, UnsupportedGrantType | UnsupportedResponseType) and error.is_about_the_past
