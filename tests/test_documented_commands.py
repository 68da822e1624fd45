"""What the documents show of commands is what the commands print, run against a real gateway, issuer and Redis."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.access.limits import Rate, SharedBuckets
from gateway.access.revocation import DenyList, Revoker
from gateway.access.revocation_feed import RevocationFeed
from gateway.cache.redis import SharedStore
from gateway.config import load
from gateway.devauth.clients import Client
from gateway.devauth.server import DevelopmentServer
from gateway.process.single import SingleProcess
from tests.dialogue import request, talk
from tests.documents import DOCUMENTS, README, ROOT, SECRET, blocks, compared, secrets_of, with_files
from tests.redis_servers import redis_node
from tests.world import mint, public_jwks

ISSUERS = re.compile(r"^issuers:\n(?:  .*\n)+", re.MULTILINE)
CLAIMS = {"iss": "https://login.example.com/realms/corp", "sub": "u1", "sid": "s1", "tenant": "acme"}

CHANGING = (
    (r"good for \d+ s", "good for N s"),
    (r'("(?:id|request_id)": )"[\w-]+"', r'\1"…"'),
    (r"\b\d{10}(?:\.\d+)?\b", "T"),
    (r"oauth-gateway-[0-9a-f]{8}\b", "oauth-gateway-…"),
    (r"(?m)^( *(?:X-Request-Id|Date|Content-Length|Location): ).*$", r"\1…"),
)
"""What differs from one run to the next."""


def lasting(output: str) -> list[str]:
    for pattern, text in CHANGING:
        output = re.sub(pattern, text, output)
    return output.strip().splitlines()


def configurations() -> tuple[str, str]:
    """The route file of the README, and the same after its section on opaque tokens."""
    (_, routes), (_, opaque), *_ = blocks(README, "yaml")
    issuers = ISSUERS.search(opaque)
    assert issuers is not None
    return routes, ISSUERS.sub(lambda _: issuers[0], routes) + opaque[issuers.end() :]


@dataclass
class Shell:
    """Where commands are run: beside a gateway as the README describes it, whose issuer and Redis are there.

    `environ` leads the gateway to both, by override, so that the lines of the configuration stay what they are.
    """

    folder: Path
    worker: SingleProcess
    variables: dict[str, str]
    environ: dict[str, str]

    async def run(self, command: str, configuration: str) -> str:
        """What the command prints. `configuration` is the text of config/gateway.yaml."""
        words = [re.sub(r"\$([A-Z_]+)", lambda name: self.variables[name[1]], word) for word in shlex.split(command)]
        return await (self._curl(words[1:]) if words[0] == "curl" else self._gateway(words[1:], configuration))

    async def _gateway(self, words: list[str], configuration: str) -> str:
        (self.folder / "config/gateway.yaml").write_text(configuration, encoding="utf-8")
        # An override would make the block that it is in.
        absent = ("REDIS", "INTROSPECTION") if "redis:" not in configuration else ()
        environ = {name: value for name, value in self.environ.items() if not any(part in name for part in absent)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *words, cwd=self.folder, env=environ, stdout=asyncio.subprocess.PIPE
        )
        return (await process.communicate())[0].decode()

    async def _curl(self, words: list[str]) -> str:
        """As curl does it. Of several gateways that share a Redis, each is the one there is."""
        parser = argparse.ArgumentParser()
        for option in ("-i", "-s"):
            parser.add_argument(option, action="store_true")
        for option, default in (("-X", "GET"), ("-d", "")):
            parser.add_argument(option, default=default)
        parser.add_argument("-H", action="append", default=[])
        parser.add_argument("url")
        asked = parser.parse_args(words)
        _, _, host, path = asked.url.split("/", 3)
        address = self.worker.admin_address if ":909" in host else self.worker.addresses[0]
        name, _, port = address.rpartition(":")
        sent = request(asked.X, f"/{path}", *asked.H, host=host, body=asked.d.encode())
        answer = await talk((name, int(port)), sent, silence=0.5, patience=20.0)
        if found := re.search(rb'"id": "([\w-]+)"', answer.body):
            self.variables["ID"] = found[1].decode()
        return (answer.raw if asked.i else answer.body).decode().replace("\r\n", "\n")


@contextlib.asynccontextmanager
async def shell(folder: Path) -> AsyncIterator[Shell]:
    scopes = frozenset({"orders:read"})
    app = Client("app", "s", scopes, "orders-api", claims=CLAIMS, access_token="opaque")
    issuer = DevelopmentServer([app, Client("gateway", SECRET, scopes, "orders-api")])
    (folder / "jwks.json").write_text(public_jwks(), encoding="utf-8")
    (folder / "token.txt").write_text(mint(**CLAIMS, scope="orders:read"), encoding="utf-8")
    (folder / "config").mkdir()
    file, (_, configuration) = folder / "config/gateway.yaml", configurations()
    file.write_text(with_files(configuration, folder), encoding="utf-8")
    async with contextlib.AsyncExitStack() as stack:
        redis = stack.enter_context(redis_node(folder))
        await issuer.start()
        stack.push_async_callback(issuer.stop)
        corp = "OAUTH_GATEWAY__ISSUERS__CORP"
        environ = {
            **os.environ,
            **secrets_of(configuration),
            "ADMIN_TOKEN": SECRET,
            "OAUTH_GATEWAY__LISTEN": "127.0.0.1:0",
            "OAUTH_GATEWAY__ADMIN__LISTEN": "127.0.0.1:0",
            "OAUTH_GATEWAY__LOG__ACCESS": "false",
            "OAUTH_GATEWAY__REDIS__URL": redis.url,
            # A busy machine is no outage.
            "OAUTH_GATEWAY__REDIS__TIMEOUT": "10s",
            f"{corp}__INTROSPECTION__TIMEOUT": "10s",
            f"{corp}__JWKS_FILE": str(folder / "jwks.json"),
            f"{corp}__INTROSPECTION__ENDPOINT": f"{issuer.issuer}/introspect",
        }
        worker = SingleProcess(load(file, environ), {})
        stack.push_async_callback(worker.stop)
        await worker.start()
        token = issuer.tokens.issue(app, "orders:read", **CLAIMS).value
        yield Shell(folder, worker, {"TOKEN": token, "ADMIN_TOKEN": SECRET}, environ)


@pytest.mark.parametrize(
    "document",
    [document for document in DOCUMENTS if any(compared(document))],
    ids=lambda document: str(document.relative_to(ROOT)),
)
async def test_commands_print_what_is_shown(document: Path, tmp_path: Path) -> None:
    routes, opaque = configurations()
    opaque_from = next(line for line, block in blocks(README, "yaml") if "introspection:" in block)
    async with shell(tmp_path) as terminal:
        for line, command, output in compared(document):
            is_before = document == README and line < opaque_from
            printed = await terminal.run(command, routes if is_before else with_files(opaque, tmp_path))
            assert lasting(printed.replace(f"{tmp_path}/", "")) == lasting(output), f"{document}:{line}: {command}"


def test_there_are_commands_to_compare() -> None:
    assert sum(1 for document in DOCUMENTS for _ in compared(document)) >= 9


async def test_the_rights_in_redis_that_the_reference_names_are_enough(tmp_path: Path) -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    command = re.search(r"^\$ redis-cli (ACL SETUSER .*)$", text, re.MULTILINE)
    assert command is not None
    with redis_node(tmp_path) as redis:
        assert redis.ask(*shlex.split(command[1])) == b"+OK\r\n"
        store = SharedStore(redis.url.replace("//", "//gateway:PASSWORD@"), prefix="oauth-gateway:", timeout=5)
        deny_list = DenyList()
        feed = RevocationFeed(deny_list, store)
        await feed.start()
        revoker = Revoker(deny_list, {"corp": 0.0}, sharing=feed)
        entry = await revoker.revoke("corp", "sid", "s1")
        assert await revoker.withdraw(entry.id)
        await store.put("introspection:x", b"sealed", 60)
        assert await store.get("introspection:x") == b"sealed"
        assert await store.put_once("logout:x", 60)
        buckets, rate = SharedBuckets(store), Rate(1, 60.0, 1)
        assert [(await buckets.take("x", rate)).wait > 0 for _ in range(2)] == [False, True]
        assert feed.is_connected
        assert revoker.is_delivered(entry)
        assert set(store.results) == {"ok"}
        assert redis.ask("ACL", "LOG") == b"*0\r\n"
        await feed.close()
        await store.close()
