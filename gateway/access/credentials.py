"""Finds the access token in a request (RFC 6750 §2.1, RFC 9449 §7.1).

Only the Authorization field is looked at. A token in the query string or in the body is no credential: it would end up
in logs, histories and referrers (RFC 6750 §5.3).
"""

from __future__ import annotations

import re

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.message import Fields
from gateway.oauth.tokens import Credential

# b64token of RFC 6750 §2.1, after one blank or more (RFC 9110 §11.4).
_TOKEN = re.compile(rb"(bearer|dpop) +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)
_SCHEME = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?: |$)")


def find_credential(fields: Fields) -> Credential | None:
    """The one token of the request, or None without any.

    Raises `GatewayError`: two Authorization fields, or one whose value is no well-formed bearer token. A scheme other
    than Bearer and DPoP counts as no credential (RFC 6750 §3.1).
    """
    values = fields.values(b"authorization")
    if not values:
        return None
    if len(values) > 1:
        # Whoever reads the first and whoever reads the last would see two different callers.
        raise GatewayError(errors.CREDENTIALS_MULTIPLE, f"{len(values)} Authorization fields")
    found = _TOKEN.fullmatch(values[0])
    if found is None:
        _check_other_scheme(values[0])
        return None
    return Credential(found[1].lower().decode("ascii"), found[2])


def _check_other_scheme(value: bytes) -> None:
    scheme = _SCHEME.match(value)
    if scheme is None:
        raise GatewayError(errors.REQUEST_INVALID, "Authorization does not begin with a scheme")
    if scheme[1].lower() in (b"bearer", b"dpop"):
        raise GatewayError(errors.REQUEST_INVALID, "Authorization does not hold exactly one b64token")
