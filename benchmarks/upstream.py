"""The API behind every server: nginx with constant answers, which counts the requests that reach it."""

from __future__ import annotations

import contextlib
import datetime
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from benchmarks.issuer import Issuer
from benchmarks.processes import Process, StartError, ask, free_port, running
from benchmarks.servers import nginx

COUNTER_PATH = "/counter"
JWKS_PATH = "/jwks.json"
UPLOAD_PATH = "/orders/upload"
SETTLING = 100
"""How often it is looked at, 20 ms apart, whether requests still arrive."""
CALM = 5
"""So often in a row none may have come: a server whose core somebody else has taken is silent for a moment, too."""
KIB = 1024
DOWNLOADS = {"/orders/64k": 64 * KIB, "/orders/1m": 1024 * KIB}

# An upload is read to its end before it is answered: nginx does so only for what it passes on, so it asks a second one.
_API = """
    default_type application/json;
    upstream reader {{ server 127.0.0.1:{reader}; keepalive 256; keepalive_requests 100000000; }}
    server {{
        {listens}
        location / {{ return 200 '{{"id": "42", "state": "paid", "total": 1999}}'; }}
        location = {counter} {{ stub_status; }}
        location = {upload} {{
            client_max_body_size 2m;
            client_body_buffer_size 2m;
            proxy_pass http://reader;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Received $request_length;
        }}
        {downloads}
    }}
    server {{
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {private_key};
        location = {jwks} {{ alias {jwks_file}; }}
    }}
"""
_READER = """
    server {{
        listen 127.0.0.1:{port} backlog=4096 reuseport;
        location / {{ return 200 $http_x_received; }}
    }}
"""


class Upstream:
    """The running API."""

    def __init__(self, port: int, jwks_uri: str) -> None:
        self.port = port
        self.jwks_uri = jwks_uri
        self._asked = 0

    def settled(self) -> int:
        """Requests so far, once no more arrive: what a client gave up may still be on its way through a server."""
        now, calm = self.requests(), 0
        for _ in range(SETTLING):
            if calm == CALM:
                break
            time.sleep(0.02)
            before, now = now, self.requests()
            calm = calm + 1 if now == before else 0
        return now

    def requests(self) -> int:
        """Requests so far, without those for the counter itself. Raises `StartError` when it does not answer."""
        # "Active connections: 1 \nserver accepts handled requests\n 16 16 31 \n…"
        found = re.search(rb"requests\s+\d+ \d+ (\d+)", ask(self.port, COUNTER_PATH).body)
        if found is None:
            raise StartError("the upstream does not answer any more")
        self._asked += 1
        return int(found[1]) - self._asked


@contextlib.contextmanager
def upstream(cores: Sequence[int], folder: Path, issuer: Issuer) -> Iterator[Upstream]:
    """Run it until the block ends. It also publishes the issuer's keys."""
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(_nginx("reader", _READER, cores, folder, port := free_port(), port=port))
        downloads = []
        for path, size in DOWNLOADS.items():
            file = folder / f"{size}.json"
            file.write_bytes(b"x" * size)
            downloads.append(f"location = {path} {{ alias {file}; }}")
        certificate, private_key = self_signed(folder)
        settings = {
            "listens": _listens(port := free_port()),
            "tls_port": (tls_port := free_port()),
            "certificate": certificate,
            "private_key": private_key,
            "reader": reader.port,
            "counter": COUNTER_PATH,
            "jwks": JWKS_PATH,
            "jwks_file": issuer.jwks_file,
            "upload": UPLOAD_PATH,
            "downloads": "\n        ".join(downloads),
        }
        stack.enter_context(_nginx("upstream", _API, cores, folder, port, **settings))
        yield Upstream(port, f"https://127.0.0.1:{tls_port}{JWKS_PATH}")


def hosts() -> list[str]:
    """Addresses that lead to it, as to several endpoints; one alone where the system has no others of loopback."""
    return [f"127.0.0.{number}" for number in ((1, 2, 3) if sys.platform == "linux" else (1,))]


def _listens(port: int) -> str:
    return "\n        ".join(f"listen {host}:{port} backlog=4096 reuseport;" for host in hosts())


def _nginx(
    name: str, content: str, cores: Sequence[int], folder: Path, at: int, **settings: object
) -> contextlib.AbstractContextManager[Process]:
    home = folder / name
    home.mkdir()
    command = nginx.command(home, content.format(**settings), workers=len(cores))
    return running(name, command, cores, at, home, lambda: ask(at, "/").status == 200)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody vouches for, and its private key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    certificate, private_key = folder / "certificate.pem", folder / "private.pem"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    private_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private_key
