"""How far somebody has come in a story, and what they have collected on the way: tokens, codes, moments."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.demo.seen import Outcome
from gateway.demo.story import Step, Story
from gateway.oauth.authorization_code import AuthorizationRequest


@dataclass(slots=True, eq=False)
class Journey:
    """One way through a story. `moments` are seconds since the epoch; steps count from 1."""

    story: Story
    values: dict[str, str] = field(repr=False)
    moments: dict[str, float] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict, repr=False)
    request: AuthorizationRequest | None = field(default=None, repr=False)
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    """What is shown in short, and in full where somebody asks for it: its name, by the token itself."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def reached(self) -> int:
        """The last step that went as told; 0 before the first."""
        return next((number - 1 for number in range(1, self.length + 1) if not self.is_done(number)), self.length)

    @property
    def next_number(self) -> int:
        """The step to take next, also one to take once more; 0 after the last."""
        return self.reached + 1 if self.reached < self.length else 0

    @property
    def length(self) -> int:
        """The number of steps."""
        return len(self.story.steps)

    def is_done(self, number: int) -> bool:
        """Whether a step went as told."""
        outcome = self.outcomes.get(number)
        return outcome is not None and not outcome.failure

    def step(self, number: int) -> Step:
        """A step by its number."""
        return self.story.steps[number - 1]

    def waits_until(self, number: int) -> float:
        """When a step may begin; 0 for at once."""
        return self.moments.get(self.step(number).waits_for, 0.0)

    def keep(self, values: Mapping[str, str]) -> None:
        """Remember what a step brought."""
        self.values.update(values)
        self.note_tokens(values)

    def note_tokens(self, values: Mapping[str, Any]) -> None:
        """Remember which of these are tokens: they are shown in short."""
        for name, value in values.items():
            if name.endswith("_token") and isinstance(value, str) and value:
                self.tokens.setdefault(value, name.replace("_", " "))
