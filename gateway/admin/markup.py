"""HTML element by element. What is no `Html` already is escaped: a configured name is text and nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = frozenset({"meta", "br"})


class Html(str):
    """Text that is HTML: it was made here."""

    __slots__ = ()


Content = str | Iterable[str]


def tag(name: str, content: Content = "", /, **attributes: str) -> Html:
    """An element. A trailing `_` of an attribute's name is dropped, other `_` become `-`; both are never given values
    from outside.
    """
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(text)}"' for key, text in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(content)}</{name}>")


def joined(content: Content) -> Html:
    """Elements and texts one after the other."""
    parts = [content] if isinstance(content, str) else content
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))
