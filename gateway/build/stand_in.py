"""What a gateway is built with in place of an issuer, where nothing may be asked of anybody: `oauth-gateway test`."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.oauth.introspection_answers import Asked
from gateway.oauth.key_source import KeySource


@dataclass(frozen=True, slots=True)
class StandIn:
    """The keys and the answers of one issuer. Its rules stay those of the configuration, as does all that checks."""

    keys: KeySource
    answers: Asked
