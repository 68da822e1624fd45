"""The access log line by line, and the program's log as a process writes it, with values that want to forge lines."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.process.logs import AccessLog, Format, timestamp
from gateway.record import RequestRecord

KEYS = (
    "ts level event request_id trace_id client_ip method host path route decision reason status issuer sub client_id "
    "scopes_missing upstream upstream_status duration_ms auth_ms bytes_in bytes_out"
)
NOW = 1_800_000_000.1239

FORGERIES = [
    pytest.param('x\n{"event":"request","status":200}', id="a second line"),
    pytest.param("x\r\nlevel=error", id="CRLF"),
    pytest.param('","sub":"admin', id="out of the quotes"),
    pytest.param("a status=200 sub=admin", id="out of the word"),
    pytest.param("\x1b[2J\x1b]0;pwned\x07", id="terminal escapes"),
    pytest.param("\x00\x7f\x85\u2028\u2029\u202e", id="control characters and line separators"),
    pytest.param("\udcff\ud800", id="lone surrogates"),
]


def record_of(value: str = "") -> RequestRecord:
    record = RequestRecord("GET", 0.0, "0af7651916cd43dd8448eb211c80319c")
    record.client_ip, record.host, record.path = "192.0.2.1", "api.example", "/orders/7"
    record.route, record.decision, record.status = "orders", "allow", 200
    record.issuer, record.subject, record.client_id = "corp", value or "ada", value or "shop"
    record.upstream, record.upstream_status = "orders-api", 200
    record.seconds, record.auth_seconds = 0.0123456, 0.00004
    record.bytes_in, record.bytes_out = 10, 2048
    return record


def written(record: RequestRecord, format: Format = "json", *, tokens: bool = False) -> str:
    stream = io.StringIO()
    AccessLog(stream, format=format, tokens=tokens, now=lambda: NOW)(record)
    return stream.getvalue()


def test_a_request_is_one_json_line_with_exactly_the_promised_keys() -> None:
    line = written(record_of())
    assert line.endswith("\n")
    assert " ".join(json.loads(line)) == KEYS


def test_the_values_are_those_of_the_record() -> None:
    record = record_of()
    record.scopes_missing = ("orders:write",)
    entry = json.loads(written(record))
    assert entry["ts"] == "2027-01-15T08:00:00.123Z"
    assert (entry["level"], entry["event"], entry["sub"]) == ("info", "request", "ada")
    assert (entry["duration_ms"], entry["auth_ms"]) == (12.346, 0.04)
    assert entry["scopes_missing"] == ["orders:write"]


def test_what_never_happened_is_null() -> None:
    entry = json.loads(written(RequestRecord("GET", 0.0)))
    absent = [key for key, value in entry.items() if value is None]
    assert absent == ["route", "decision", "reason", "issuer", "sub", "client_id", "upstream", "upstream_status"]


@pytest.mark.parametrize("format", ["json", "text"])
@pytest.mark.parametrize("value", FORGERIES)
def test_a_hostile_value_stays_within_its_line(value: str, format: Format) -> None:
    record = record_of(value)
    record.method = record.path = record.host = value
    line = written(record, format)
    assert re.fullmatch(r"[\x20-\x7e]+\n", line)


@pytest.mark.parametrize("value", FORGERIES)
def test_a_hostile_value_comes_back_whole_from_json(value: str) -> None:
    entry = json.loads(written(record_of(value)))
    assert (entry["sub"], entry["status"]) == (value, 200)


@given(st.text())
def test_any_text_is_one_line_and_comes_back_whole(value: str) -> None:
    record = record_of()
    record.subject = value
    line = written(record)
    assert len(line.splitlines()) == 1
    assert json.loads(line)["sub"] == value
    assert len(written(record, "text").splitlines()) == 1


def test_a_text_line_can_be_read_by_people() -> None:
    assert written(record_of("Ada Lovelace"), "text") == (
        "2027-01-15T08:00:00.123Z info request request_id=0af7651916cd43dd8448eb211c80319c client_ip=192.0.2.1 "
        "method=GET host=api.example path=/orders/7 route=orders decision=allow status=200 issuer=corp "
        'sub="Ada Lovelace" client_id="Ada Lovelace" upstream=orders-api upstream_status=200 duration_ms=12.346 '
        "auth_ms=0.04 bytes_in=10 bytes_out=2048\n"
    )


@pytest.mark.parametrize(
    ("tokens", "token_id", "told"),
    [(True, "0123456789abcdef", True), (True, "", False), (False, "0123456789abcdef", False)],
)
def test_the_token_s_id_is_told_only_when_asked_for_and_known(tokens: bool, token_id: str, told: bool) -> None:
    record = record_of()
    record.token_id = token_id
    entry = json.loads(written(record, tokens=tokens))
    assert ("token_id" in entry) is told
    assert entry.get("token_id", token_id) == token_id


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000.9999999, "2027-01-15T08:00:01.000Z"),
        (1_800_000_000.0009, "2027-01-15T08:00:00.000Z"),
    ],
)
def test_a_time_is_rfc_3339_in_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert timestamp(seconds) == text


def test_a_log_that_nobody_reads_any_more_stops_no_request(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        log = AccessLog(stream, format="json", tokens=False)
        for _ in range(3):
            log(record_of())
        assert [entry.getMessage() for entry in caplog.records] == ["the access log can't be written: BrokenPipeError"]
        # What is left in the stream's buffer would be written, and fail, when it is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


def test_a_closed_stream_stops_no_request(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    stream.close()
    AccessLog(stream, format="text", tokens=False)(record_of())
    assert len(caplog.records) == 1


def test_a_line_can_be_read_before_the_next_one_is_written() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader, "rb") as lines:
        AccessLog(stream, format="json", tokens=False)(record_of())
        assert json.loads(lines.readline())["event"] == "request"


@pytest.mark.parametrize("length", [10, 5_000, 50_000])
def test_a_line_is_one_write_so_that_lines_of_several_processes_do_not_mix(length: int) -> None:
    # A socket that keeps the bounds of what is written to it.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    record = record_of()
    record.path = "/" * length
    with ours, theirs, os.fdopen(os.dup(theirs.fileno()), "w") as stream:
        log = AccessLog(stream, format="json", tokens=False)
        for _ in range(3):
            log(record)
            assert json.loads(ours.recv(100_000))["path"] == record.path


def program(body: str, *, level: str = "info", format: Format = "json") -> list[str]:
    """The lines that a process writes to standard error which configures its log and runs `body`."""
    script = (
        "import asyncio, logging\n"
        "from gateway.process import logs\n"
        f"logs.configure({level!r}, {format!r})\n"
        f"log = logging.getLogger('gateway.test')\n{body}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == ""
    return done.stderr.splitlines()


def entries(body: str, *, level: str = "info") -> list[dict[str, Any]]:
    return [json.loads(line) for line in program(body, level=level)]


def test_the_program_s_log_is_json_lines() -> None:
    (entry,) = entries("log.warning('issuer %s is down', 'corp')")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("ts"))
    assert entry == {"level": "warning", "event": "issuer corp is down", "logger": "gateway.test"}


def test_one_of_several_workers_says_which_one_it_is() -> None:
    (entry,) = entries("logs.configure('info', 'json', worker=3); log.info('a')")
    assert entry["worker"] == 3


def test_events_below_the_level_are_not_told() -> None:
    assert [entry["event"] for entry in entries("log.info('a'); log.error('b')", level="warning")] == ["b"]


def test_configuring_twice_writes_each_line_once() -> None:
    assert len(entries("logs.configure('info', 'json'); log.info('a')")) == 1


def test_a_message_with_line_breaks_is_one_line_of_text() -> None:
    (line,) = program(r"log.error('refused: a\nb \x1b[2J')", format="text")
    assert line.endswith(r" error refused: a\nb \x1b[2J logger=gateway.test")


def test_a_traceback_is_one_string_without_what_the_exceptions_say() -> None:
    body = (
        "try:\n"
        "    try:\n        int('secret-a')\n"
        "    except ValueError as cause:\n        raise RuntimeError('secret' + '-b') from cause\n"
        "except RuntimeError:\n    log.exception('request 1 failed')\n"
    )
    (entry,) = entries(body)
    assert entry["event"] == "request 1 failed"
    assert "RuntimeError\ncaused by\n" in entry["exc"]
    assert entry["exc"].endswith("ValueError")
    assert 'File "<string>", line' in entry["exc"]
    assert "secret" not in entry["exc"]


@pytest.mark.parametrize("name", ["aiohttp.server", "aiohttp.web", "asyncio"])
def test_what_a_server_library_quotes_from_a_client_is_never_told(name: str) -> None:
    body = (
        f"library = logging.getLogger({name!r})\n"
        "library.error('Error handling %r', b'GET /?access_token=secret-1')\n"
        "try:\n    raise ValueError('secret' + '-2')\n"
        "except ValueError:\n    library.exception('secret' + '-3')\n"
    )
    lines = program(body)
    assert len(lines) == 2
    assert "secret-" not in "".join(lines)
    assert json.loads(lines[1])["event"] == f"{name} reports ValueError in <string>.<module>"


def test_a_task_that_fails_unseen_is_told_without_its_text() -> None:
    body = (
        "async def fail():\n    raise KeyError('secret' + '-1')\n"
        "async def main():\n    asyncio.create_task(fail())\n    await asyncio.sleep(0.01)\n"
        "asyncio.run(main())\n"
    )
    (entry,) = entries(body)
    assert entry["event"].startswith("asyncio reports KeyError")
    assert "secret-1" not in json.dumps(entry)


def test_a_library_s_mistake_in_its_arguments_is_still_one_line() -> None:
    assert [entry["event"] for entry in entries("log.error('%d apples', 'secret-1')")] == ["%d apples"]
