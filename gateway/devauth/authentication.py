"""Who a client is: by HTTP Basic, in the form, or, for a public one, by its name alone (RFC 6749 §2.3, §3.2.1)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_plus

from gateway.devauth.clients import Client
from gateway.devauth.requests import ParameterRequest

CONFIDENTIAL: Final = ["client_secret_basic", "client_secret_post"]
METHODS: Final = [*CONFIDENTIAL, "none"]


def by_basic(query_client: Callable[[str], Client | None], request: ParameterRequest) -> Client | None:
    """client_secret_basic: both parts are form-encoded before base64 (RFC 6749 §2.3.1); authlib leaves `+` as it is."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except ValueError:
        return None
    client = query_client(unquote_plus(client_id))
    return client if client is not None and client.check_client_secret(unquote_plus(secret)) else None
