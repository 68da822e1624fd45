"""Conversations that look for new code to reach (atheris); run by `scripts/fuzz --guided`.

The first byte says into how many parts the rest is cut; the rest is what the client sends, in which `{t}` is a token.
"""

from __future__ import annotations

import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["gateway.http", "gateway.upstream", "gateway.app"]):
    from gateway.http.request_parser import KnownFields
    from tests.fuzz.conversation import TOKEN, House
    from tests.fuzz.test_requests import hold_to_promises

SEEDS = (
    b"\x00GET /own/1 HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer {t}\r\n\r\n",
    b"\x03POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"\x01PUT /small/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcHEAD /fixed HTTP/1.0\r\nHost: a\r\n\r\n",
)


def main() -> None:
    """Run until told to stop, or until a promise is broken."""
    with House() as house:
        known = KnownFields()

        def hold(data: bytes) -> None:
            if not data:
                return
            stream = data[1:].replace(b"{t}", TOKEN)
            size = max(1, len(stream) // (data[0] % 8 + 1))
            parts = [stream[at : at + size] for at in range(0, len(stream), size)]
            expected = house.hold([stream])
            hold_to_promises(expected, stream)
            for outcome in (house.hold(parts), house.hold([stream], known)):
                if (outcome.statuses, outcome.upstream, outcome.is_closed) != (
                    expected.statuses,
                    expected.upstream,
                    expected.is_closed,
                ):
                    raise AssertionError((stream, outcome, expected))

        for seed in SEEDS:
            hold(seed)
        setup: Any = atheris.Setup
        setup(sys.argv, hold)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
