"""A second reader of request heads (RFC 9112 §2-§5), as slow and as plain as can be: what the gateway's one is held
against. It knows one way to read a head, and no limits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
LINE = re.compile(rb"([A-Z\-]+) ([!-~]+) HTTP/([0-9])\.([0-9])")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)[ \t]*")


@dataclass(frozen=True)
class Head:
    """`size` counts all bytes of the head, with empty lines before and the one behind."""

    size: int
    method: str
    target: str
    version: tuple[int, int]
    fields: tuple[tuple[bytes, bytes], ...]


class NoHead(Exception):
    """These bytes are no head, however they go on."""


def read_head(data: bytes) -> Head | None:
    """The head at the beginning, or None while it has no end. Raises `NoHead` for one that can't be read."""
    start = 0
    while data.startswith(b"\r\n", start):
        start += 2
    if start > 4:
        raise NoHead
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        return None
    first, *others = data[start:end].split(b"\r\n")
    line = LINE.fullmatch(first)
    fields = [FIELD.fullmatch(other) for other in others]
    if line is None:
        raise NoHead
    found = []
    for field in fields:
        if field is None:
            raise NoHead
        found.append((field[1], field[2]))
    return Head(end + 4, line[1].decode("ascii"), line[2].decode("ascii"), (int(line[3]), int(line[4])), tuple(found))
