"""An issuer that is a process of its own: a test can kill, freeze and start it again, and script its answers."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

from tests import scripted_server
from tests.issuer import private_key
from tests.redis_servers import until
from tests.services import Service, held_port, is_listening
from tests.world import AUDIENCE, mint, public_jwks

METADATA = "/.well-known/oauth-authorization-server"
JWKS = "/jwks"
INTROSPECT = "/introspect"
ELSEWHERE = "-elsewhere"
"""Behind this there is a good answer too, for redirects to lead to."""

Page = dict[str, Any]


@dataclass
class IssuerProcess:
    """Publishes metadata and keys, and introspects. What it answers outlives the process."""

    port: int
    folder: Path
    introspects_at: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    faults: dict[str, Page] = field(default_factory=dict)
    active: dict[str, Page] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str = INTROSPECT) -> int:
        """How often this was asked for."""
        asked = self.folder / "asked"
        return asked.read_text().split("\n").count(path) if asked.exists() else 0

    # --- what it answers -----------------------------------------------------------------------------------------

    def breaks(self, path: str, **page: Any) -> None:
        """Answer in another way at this path; `members` are put into the document that is usual there."""
        if "members" in page:
            page["body"] = json.dumps({**json.loads(self._usual()[path]["body"]), **page.pop("members")})
        self.faults[path] = page
        self.write()

    def redirects(self, path: str) -> None:
        """Send whoever asks here to another address, which has a good answer."""
        self.breaks(path, status=307, fields={"Location": f"{self.issuer}{path}{ELSEWHERE}"})

    def mend(self) -> None:
        """Answer as usual."""
        self.faults.clear()
        self.write()

    def write(self) -> None:
        """Tell the process what it answers from now on."""
        script = self._usual()
        for path, fault in self.faults.items():
            script[path] |= {"tokens": {}, **fault} if "body" in fault else fault
        beside = self.folder / "script.json.new"
        beside.write_text(json.dumps(script))
        beside.replace(self.folder / "script.json")

    def _usual(self) -> dict[str, Page]:
        metadata = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}{JWKS}",
            "introspection_endpoint": f"{self.introspects_at or self.issuer}{INTROSPECT}",
        }
        return {
            METADATA: {"body": json.dumps(metadata)},
            JWKS: {"body": public_jwks()},
            INTROSPECT: {"body": json.dumps({"active": False}), "tokens": self.active},
            f"{METADATA}{ELSEWHERE}": {"body": json.dumps(metadata)},
            f"{JWKS}{ELSEWHERE}": {"body": public_jwks()},
            f"{INTROSPECT}{ELSEWHERE}": {"body": json.dumps({"active": True, "sub": "u1"})},
        }

    # --- tokens --------------------------------------------------------------------------------------------------

    def jwt(self, **claims: Any) -> str:
        """A good JWT, another one each time."""
        return mint(iss=self.issuer, jti=f"jwt-{next(self.numbers)}", **claims)

    def rotated_jwt(self) -> str:
        """A JWT signed by a key that is not in the key set."""
        claims = jwt.decode(self.jwt(), options={"verify_signature": False})
        header = {"kid": "k2", "typ": "at+jwt"}
        return jwt.encode(claims, private_key("other rsa"), "RS256", headers=header)

    def opaque(self, **claims: Any) -> str:
        """An opaque token that is active, another one each time."""
        token = f"opaque-{self.port}-{next(self.numbers)}"
        self.knows(token, **{"sub": "u1", "client_id": "app", "aud": AUDIENCE, **claims})
        return token

    def knows(self, token: str, **claims: Any) -> None:
        """Call a token active from now on, with these claims."""
        self.active[token] = {"body": json.dumps({"active": True, **claims})}
        self.write()

    def forgets(self, token: str) -> None:
        """Call a token inactive from now on."""
        del self.active[token]
        self.write()

    # --- the process ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.write()
        command = [sys.executable, "-I", "-S", scripted_server.__file__, str(self.port), str(self.folder)]
        self.process = subprocess.Popen(command)
        until(lambda: self.process is not None and is_listening(Service(self.port, self.process)))

    def kill(self) -> None:
        """End it; connections to its port are refused."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """It still takes connections, and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def issuer_process(folder: Path, *, introspects_at: str = "", is_started: bool = True) -> Iterator[IssuerProcess]:
    """One on a port of its own. `introspects_at` is the address of another one that introspects its tokens."""
    with held_port() as port:
        home = folder / f"issuer-{port}"
        home.mkdir()
        issuer = IssuerProcess(port, home, introspects_at)
        try:
            if is_started:
                issuer.start()
            yield issuer
        finally:
            issuer.kill()
