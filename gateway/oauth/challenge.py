"""The WWW-Authenticate field of a refusal (RFC 6750 §3, RFC 9110 §11.6.1, RFC 9728 §5.1).

Every parameter is a constant of the configuration, so nothing of a request can end up in it.
"""

from __future__ import annotations

from collections.abc import Sequence

REALM = "api"


def bearer_challenge(
    *,
    error: str | None = None,
    description: str | None = None,
    scopes: Sequence[str] = (),
    resource_metadata: str | None = None,
) -> bytes:
    """A Bearer challenge; without credentials in the request it has no `error` (RFC 6750 §3.1)."""
    parameters = [("realm", REALM)]
    if error is not None:
        parameters.append(("error", error))
    if description is not None:
        parameters.append(("error_description", description))
    if scopes:
        parameters.append(("scope", " ".join(scopes)))
    if resource_metadata is not None:
        parameters.append(("resource_metadata", resource_metadata))
    return b"Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters).encode("ascii")
