"""HTML out of small templates, with every value escaped. Knows no page."""

from __future__ import annotations

import functools
import html
import string
from importlib import resources


class Html(str):
    """Text that is HTML already: it came out of a template."""

    __slots__ = ()


class Templates:
    """The files in the folder `templates` of a package, read once."""

    def __init__(self, package: str) -> None:
        self._folder = resources.files(package) / "templates"
        self._template = functools.cache(self._read)

    def fill(self, template: str, /, **values: str) -> Html:
        """A template with these values; whatever is not `Html` is escaped."""
        escaped = {key: value if isinstance(value, Html) else html.escape(value) for key, value in values.items()}
        return Html(self._template(template).substitute(escaped).rstrip("\n"))

    def stylesheet(self) -> str:
        """The one style sheet."""
        return (self._folder / "style.css").read_text(encoding="utf-8")

    def _read(self, name: str) -> string.Template:
        return string.Template((self._folder / f"{name}.html").read_text(encoding="utf-8"))
