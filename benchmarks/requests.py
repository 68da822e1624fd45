"""Requests as bytes, ready for the wire: built once, so that the load costs little while it is measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PATH = "/orders/42"
HOST = "api.example.com"


@dataclass(frozen=True)
class Request:
    """One HTTP/1.1 request. A `body` of that many bytes makes it a POST."""

    path: str = PATH
    token: str = ""
    body: int = 0
    keep_alive: bool = True

    @property
    def method(self) -> str:
        return "POST" if self.body else "GET"

    @property
    def headers(self) -> dict[str, str]:
        """What it sends besides the host and the length of its body."""
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return authorization if self.keep_alive else {**authorization, "Connection": "close"}

    def encoded(self) -> bytes:
        """Head and body (RFC 9112 §2.1)."""
        fields = {"Host": HOST, **self.headers}
        if self.body:
            fields["Content-Length"] = str(self.body)
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + b"x" * self.body


def write(requests: Iterable[Request], file: Path) -> None:
    """Into a file that `load.lua` reads: the length of a request on a line, then the request."""
    with file.open("wb") as output:
        for encoded in (request.encoded() for request in requests):
            output.write(b"%d\n%s" % (len(encoded), encoded))
