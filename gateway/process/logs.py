"""The access log, one line a request, and the program's own log; JSON lines or text for a terminal.

What a client sent is always escaped, so that no request can forge a line. Neither log ever holds a token or a query.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Literal, TextIO

from gateway.record import RequestRecord

Format = Literal["json", "text"]

logger = logging.getLogger(__name__)

_QUOTING_LOGGERS = ("aiohttp", "asyncio")
_CAUSES = 5

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
# The one control character that JSON lets stand.
_DEL = "\\u007f"


def _as_json(value: object) -> str:
    return _encode(value).replace("\x7f", _DEL)


class AccessLog:
    """Writes one line for each request that has ended; keys as in the documentation, `ts` in RFC 3339, UTC.

    Never raises: a request must not fail because nobody reads the log. The first failure is told to the program's log.
    `tokens` adds `token_id`, by which an operator can tell one token from another without having it.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        format: Format,
        tokens: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream
        self._line = _json_line if format == "json" else _text_line
        self._tokens = tokens
        self._now = now
        self._has_failed = False

    def __call__(self, record: RequestRecord) -> None:
        """Write the line of one request and flush it."""
        try:
            self._stream.write(self._line(record, timestamp(self._now()), record.token_id if self._tokens else ""))
            self._stream.flush()
        except (OSError, ValueError) as problem:  # ValueError: the stream has been closed
            if not self._has_failed:
                self._has_failed = True
                logger.warning("the access log can't be written: %s", type(problem).__name__)


def _json_line(record: RequestRecord, ts: str, token_id: str) -> str:
    """The line as JSON. Written out, for the same by way of a dictionary and an encoder costs 8 µs a request, not 3."""
    line = (
        f'{{"ts":"{ts}","level":"info","event":"request","request_id":{_quoted(record.request_id)},'
        f'"trace_id":{_quoted(record.trace_id)},"client_ip":{_quoted(record.client_ip)},'
        f'"method":{_quoted(record.method)},"host":{_quoted(record.host)},"path":{_quoted(record.path)},'
        f'"route":{_quoted(record.route)},"decision":{_quoted(record.decision)},"reason":{_quoted(record.reason)},'
        f'"status":{record.status},"issuer":{_quoted(record.issuer)},"sub":{_quoted(record.subject)},'
        f'"client_id":{_quoted(record.client_id)},"scopes_missing":[{",".join(map(_quoted, record.scopes_missing))}],'
        f'"upstream":{_quoted(record.upstream)},"upstream_status":{record.upstream_status or "null"},'
        f'"duration_ms":{record.seconds * 1000:.3f},"auth_ms":{record.auth_seconds * 1000:.3f},'
        f'"bytes_in":{record.bytes_in},"bytes_out":{record.bytes_out}'
    )
    end = f',"token_id":{_quoted(token_id)}}}\n' if token_id else "}\n"
    return line.replace("\x7f", _DEL) + end


def _quoted(text: str | None) -> str:
    return "null" if text is None else encode_basestring_ascii(text)


def _text_line(record: RequestRecord, ts: str, token_id: str) -> str:
    """The line for people: what the one in JSON says."""
    return _as_text(json.loads(_json_line(record, ts, token_id))) + "\n"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def timestamp(seconds: float) -> str:
    """A time since the epoch as RFC 3339 in UTC with milliseconds."""
    # Rounded to microseconds first: a float holds 1.001 as 1.00099….
    second, milliseconds = divmod(round(seconds * 1e6) // 1000, 1000)
    return f"{_second(second)}.{milliseconds:03d}Z"


def _as_text(entry: dict[str, object]) -> str:
    """`ts level event key=value …`: values as JSON where a bare word could be misread, empty ones left out."""
    event = str(entry["event"]).encode("unicode_escape").decode("ascii")
    head = f"{entry['ts']} {entry['level']} {event}"
    rest = (f"{key}={_word(value)}" for key, value in list(entry.items())[3:] if value not in (None, "", []))
    return " ".join((head, *rest))


def _word(value: object) -> str:
    if isinstance(value, str) and value.isascii() and value.isprintable() and not set(value) & set(' "=\\'):
        return value
    return _as_json(value)


def configure(level: str, format: Format, stream: TextIO | None = None, *, worker: int | None = None) -> None:
    """Send the program's log, libraries' included, to `stream` (standard error if None). `level` as in `logging`.

    `worker` says in each line which of several it is from.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_ProgramFormatter(_as_json if format == "json" else _as_text, worker))
    handler.addFilter(_without_quotations)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # A broken stream is no reason for a traceback on it.
    logging.raiseExceptions = False


class _ProgramFormatter(logging.Formatter):
    """One line for one event; a traceback is one escaped string in it, without what the exceptions say."""

    def __init__(self, line: Callable[[dict[str, object]], str], worker: int | None) -> None:
        super().__init__()
        self._line = line
        self._place = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "ts": timestamp(record.created),
            "level": record.levelname.lower(),
            "event": _message(record),
            "logger": record.name,
            **self._place,
        }
        if record.exc_info is not None and record.exc_info[1] is not None:
            entry["exc"] = _trace(record.exc_info[1])
        return self._line(entry)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # A library's own mistake in its arguments; the arguments may hold anything.
        return str(record.msg)


def _trace(exception: BaseException) -> str:
    """Kinds and places of an exception and its causes. Their texts may quote what a client sent: a token, a query."""
    parts = []
    current: BaseException | None = exception
    for _ in range(_CAUSES):
        if current is None:
            break
        parts.append("".join(traceback.format_tb(current.__traceback__)) + type(current).__qualname__)
        current = current.__cause__ or current.__context__
    return "\ncaused by\n".join(parts)


def _without_quotations(record: logging.LogRecord) -> bool:
    """Keep only kind and place of what server libraries report: their messages quote what a client sent."""
    if record.name.startswith(_QUOTING_LOGGERS):
        kind = type(record.exc_info[1]).__name__ if record.exc_info and record.exc_info[1] else "a problem"
        record.msg = f"{record.name} reports {kind} in {record.module}.{record.funcName}"
        record.args = ()
    return True
