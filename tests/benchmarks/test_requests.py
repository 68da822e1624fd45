"""Requests are bytes that servers understand, and reach wrk as they were built."""

from __future__ import annotations

from pathlib import Path

from benchmarks.requests import Request, write


def test_a_request_without_a_body_is_a_get() -> None:
    assert Request("/x", "abc").encoded() == (
        b"GET /x HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer abc\r\n\r\n"
    )


def test_a_body_makes_it_a_post_of_that_length() -> None:
    assert Request("/x", body=3).encoded() == (
        b"POST /x HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 3\r\n\r\nxxx"
    )


def test_without_keep_alive_the_connection_is_to_close() -> None:
    assert b"\r\nConnection: close\r\n" in Request(keep_alive=False).encoded()


def test_the_file_tells_the_length_of_each_request(tmp_path: Path) -> None:
    file = tmp_path / "requests"
    write([Request("/a"), Request("/b", body=2)], file)
    rest = file.read_bytes()
    found = []
    while rest:
        length, _, rest = rest.partition(b"\n")
        found.append(rest[: int(length)])
        rest = rest[int(length) :]
    assert found == [Request("/a").encoded(), Request("/b", body=2).encoded()]
