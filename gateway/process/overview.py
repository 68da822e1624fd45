"""Reads the state of the gateway for `/status`: of the one process there is, or of all workers together."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway import build
from gateway.admin import status
from gateway.admin.figures import Figures
from gateway.admin.listener import Status
from gateway.admin.refusals import Refusal
from gateway.config import Config


@dataclass(slots=True)
class Overview:
    """Where to read. `config` gives the configuration that is in force; the uptime counts from when this was made."""

    config: Callable[[], Config]
    health: Status
    figures: Callable[[], Awaitable[Figures]]
    refusals: Callable[[], Sequence[Refusal]]
    clock: Callable[[], float] = time.time
    started_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_at = self.clock()

    async def __call__(self) -> dict[str, Any]:
        """The members of `/status.json`."""
        figures = await self.figures()
        # After the figures: workers tell their refusals before them.
        moment = status.Moment(figures, self.refusals(), self.health.report(), self.started_at, self.clock())
        return status.document(build.installation(self.config()), moment)
