"""Texts of the stories: paragraphs, and in them code, emphasis and references to RFCs. Knows no HTML, no terminal."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.demo.glossary import MOMENTS
from gateway.demo.guide import filled

Kind = Literal["text", "code", "emphasis", "reference"]

_MARKED: Final = re.compile(r"`(?P<code>[^`]+)`|\*(?P<emphasis>[^*]+)\*|(?P<reference>RFC (\d+)(?: §([\d.]*\d))?)")
_SHORT_ENOUGH: Final = 24
_ONE_LINE: Final = 60


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a paragraph; `address` is that of a reference."""

    kind: Kind
    text: str
    address: str = ""


def paragraphs(text: str, values: Mapping[str, str] | None = None) -> list[list[Span]]:
    """The paragraphs of a text, with the values of a journey in their places."""
    pieces = re.split(r"\n\s*\n", text.strip())
    return [list(spans(filled(" ".join(piece.split()), values or {}))) for piece in pieces if piece.strip()]


def spans(text: str) -> Iterator[Span]:
    """The pieces of one paragraph."""
    end = 0
    for found in _MARKED.finditer(text):
        if found.start() > end:
            yield Span("text", text[end : found.start()])
        end = found.end()
        if found["code"] is not None:
            yield Span("code", found["code"])
        elif found["emphasis"] is not None:
            yield Span("emphasis", found["emphasis"])
        else:
            section = f"#section-{found[5]}" if found[5] else ""
            yield Span("reference", found["reference"], f"https://www.rfc-editor.org/rfc/rfc{found[4]}{section}")
    if end < len(text):
        yield Span("text", text[end:])


def plain(text: str, values: Mapping[str, str] | None = None) -> list[str]:
    """The paragraphs as they are read where nothing can be marked: code stays in its backticks."""
    return [
        "".join(f"`{span.text}`" if span.kind == "code" else span.text for span in paragraph)
        for paragraph in paragraphs(text, values)
    ]


def shortened(token: str) -> str:
    """A token as it is shown: enough to know it again, too little to use it."""
    return token if len(token) <= _SHORT_ENOUGH else f"{token[:10]}…{token[-6:]}"


def with_short_tokens(text: str, tokens: Mapping[str, str]) -> str:
    """A text in which every token is short."""
    # The longest first: one may be a part of another.
    for token in sorted(tokens, key=len, reverse=True):
        text = text.replace(token, shortened(token))
    return text


def laid_out(body: str) -> str:
    """A body as it can be read: JSON over several lines, what is short on one."""
    try:
        return _laid_out(json.loads(body), "")
    except ValueError:
        return body


def _laid_out(value: Any, indent: str) -> str:
    whole = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(whole) + len(indent) <= _ONE_LINE:
        return whole
    inner = f"{indent}  "
    if isinstance(value, list) and not any(isinstance(member, dict | list) for member in value):
        words = [f"{json.dumps(member, ensure_ascii=False)}," for member in value]
        return "[\n" + _in_rows(words, inner).removesuffix(",") + f"\n{indent}]"
    if isinstance(value, list):
        members = [_laid_out(member, inner) for member in value]
    else:
        members = [f"{json.dumps(name)}: {_laid_out(member, inner)}" for name, member in value.items()]
    first, last = "[]" if isinstance(value, list) else "{}"
    return f"{first}\n{inner}" + f",\n{inner}".join(members) + f"\n{indent}{last}"


def _in_rows(words: Sequence[str], indent: str) -> str:
    """As many on a line as there is room for."""
    rows = [""]
    for word in words:
        if rows[-1] and len(indent) + len(rows[-1]) + 1 + len(word) > _ONE_LINE:
            rows.append("")
        rows[-1] += f" {word}" if rows[-1] else word
    return "\n".join(f"{indent}{row}" for row in rows)


def claim_in_words(name: str, value: Any) -> str:
    """The value of a claim; a time as a clock shows it."""
    if name in MOMENTS and isinstance(value, int):
        return f"{value} ({datetime.datetime.fromtimestamp(value).astimezone():%H:%M:%S})"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
