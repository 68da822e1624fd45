"""What a running gateway can't change: sockets, processes, the connection to Redis. All else can be reloaded."""

from __future__ import annotations

from typing import Any

from gateway.config import check
from gateway.config.load import LoadedConfig
from gateway.config.problems import ConfigError


def kept(new: LoadedConfig, running: LoadedConfig) -> tuple[LoadedConfig, tuple[str, ...]]:
    """The new configuration with what is fixed as it runs, and the keys that would need a restart to differ.

    Raises `ConfigError` where the rest does not go together with what stays.
    """
    fixed = {key: getattr(running, key) for key in ("listen", "workers", "redis")}
    differing = [key for key, value in fixed.items() if getattr(new, key) != value]
    if new.admin.listen != running.admin.listen:
        differing.append("admin.listen")
    fixed["admin"] = new.admin.model_copy(update={"listen": running.admin.listen})
    if (new.tls is None) != (running.tls is None):
        # What the port speaks. Which certificate it shows is another matter.
        differing.append("tls")
        fixed["tls"] = running.tls
    return _joined(new, fixed, differing), tuple(sorted(differing))


def _joined(new: LoadedConfig, fixed: dict[str, Any], differing: list[str]) -> LoadedConfig:
    if not differing:
        return new
    joined = new.model_copy(update=fixed)
    needs = f"; a restart is needed for {', '.join(sorted(differing))}"
    problems = [new.places.problem(path, message + needs) for path, message in check.findings(joined)]
    if problems:
        raise ConfigError(problems)
    return joined
