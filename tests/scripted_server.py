"""A small HTTP server that is run as a program of its own: `scripted_server.py PORT FOLDER`.

What it answers stands in `script.json` of the folder, read again for each request: pages by path. It writes the path of
each request to `asked`. Nothing but the standard library, so that it starts at once.
"""

from __future__ import annotations

import http.server
import json
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any


class Handler(http.server.BaseHTTPRequestHandler):
    """A page: `status`, `fields`, `body`, `padding` (bytes of blanks after it), `delay` in seconds. `tokens` is a page
    for each value of the form's `token`; the page itself is for all others.
    """

    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        self.answer(self.page())

    def do_POST(self) -> None:
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        page = self.page()
        self.answer({**page, **page.get("tokens", {}).get(form.get("token", [""])[0], {})})

    def page(self) -> dict[str, Any]:
        with (self.folder / "asked").open("a") as asked:
            asked.write(f"{self.path}\n")
        page: dict[str, Any] = json.loads((self.folder / "script.json").read_text()).get(self.path, {"status": 404})
        return page

    def answer(self, page: dict[str, Any]) -> None:
        time.sleep(page.get("delay", 0))
        body = page.get("body", "").encode() + b" " * page.get("padding", 0)
        self.send_response(page.get("status", 200))
        for name, value in {"Content-Type": "application/json", **page.get("fields", {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing to say."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Whoever asked has gone away."""


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[2])
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
