"""What stands in the request line that goes upstream: made from the one path that was matched and checked, and only
then, so that a rewrite can never change what was decided on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.http.target import Target

_PLACE = re.compile(r"\{(\w+)(?::\*\*)?\}")


@dataclass(frozen=True, slots=True)
class Rewriting:
    """How a route's path becomes the upstream's: `base` in front, after `strip_prefix` or `rewrite`."""

    base: str = ""
    strip_prefix: str = ""
    template: str | None = None

    def __call__(self, target: Target, segments: Mapping[str, str]) -> str:
        """The request target for the upstream. `segments` are the path parameters as they were sent."""
        path = target.path
        if self.template is not None:
            path = _PLACE.sub(lambda place: segments[place[1]], self.template)
        elif self.strip_prefix:
            path = path[len(self.strip_prefix) :]
            path = path if path.startswith("/") else f"/{path}"
        path = self.base + path
        return path if target.query is None else f"{path}?{target.query}"
