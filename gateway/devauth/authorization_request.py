"""What an authorization request may say besides client and redirection URI (RFC 6749 §4.1.1, OpenID Connect §3.1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oidc.core import errors as openid

from gateway.devauth.errors import UnsupportedResponseType
from gateway.devauth.forms import Parameters

_NOT_SUPPORTED: Final[Mapping[str, type[OAuth2Error]]] = {
    "request": openid.RequestNotSupportedError,
    "request_uri": openid.RequestURINotSupportedError,
    "registration": openid.RegistrationNotSupportedError,
}
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


def check(asked: Parameters) -> None:
    """Raise `OAuth2Error` for what authlib leaves open, or answers with an echo of what was sent."""
    parameters = asked.values
    if asked.repeated:
        raise InvalidRequestError("a parameter comes twice")
    response_types = words(parameters, "response_type")
    if not response_types:
        raise InvalidRequestError("response_type is missing")
    if response_types != {"code"}:
        raise UnsupportedResponseType(response_types)
    if parameters.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode must be query")
    for name, error in _NOT_SUPPORTED.items():
        if name in parameters:
            raise error(f"the parameter {name} is not supported")
    if words(parameters, "prompt") > {"none"}:
        raise InvalidRequestError("prompt=none goes with no other value")
    if not _SECONDS.fullmatch(parameters.get("max_age", "0")):
        raise InvalidRequestError("max_age must be a number of seconds")


def words(parameters: Mapping[str, str], name: str) -> frozenset[str]:
    """The values of a parameter that holds several, separated by blanks."""
    return frozenset(parameters.get(name, "").split(" ")) - {""}
