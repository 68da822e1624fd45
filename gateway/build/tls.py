"""From the `tls` block of the configuration to the certificates of the listener."""

from __future__ import annotations

from gateway.config import Config, ConfigError
from gateway.http.tls import ServerContext


def listener_tls(config: Config) -> ServerContext | None:
    """What the listener shows and asks for, None for plain HTTP. Raises `ConfigError` for files that can't be used."""
    tls = config.tls
    if tls is None or tls.certificate is None or tls.private_key is None:
        return None  # the checks of the configuration have said what is missing
    try:
        return ServerContext(
            tls.certificate, tls.private_key, client_ca=tls.client_ca, client_certificate=tls.client_certificate
        )
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise ConfigError([config.places.problem(("tls",), f"can't be used: {reason}")]) from None
