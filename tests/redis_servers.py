"""Redis servers that a test can kill, freeze and start again: alone, behind a Sentinel, or as a Cluster."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.services import find_program, held_port

START_SECONDS = 30.0


@dataclass
class RedisNode:
    """One redis-server on loopback, in a folder of its own; it can be started again on the same port."""

    port: int
    folder: Path
    command: list[str]
    password: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it, and wait until it takes connections. Raises OSError with its log when it ends instead."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        until(self._is_listening, lambda: self.log)

    def kill(self) -> None:
        """End it without a word, and with all it held."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    stop = kill

    def restart(self) -> None:
        """Another one in its place, which holds nothing."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._signal(signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """The answer to one command, as it stands on the wire."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            if self.password:
                _ask(connection, "AUTH", self.password)
            return _ask(connection, *words)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _is_listening(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise OSError(f"redis-server ended: {self.log}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


def _ask(connection: socket.socket, *words: str) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    connection.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
    return connection.recv(65536)


def until(holds: Callable[[], bool], why: Callable[[], str] = lambda: "", seconds: float = START_SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


@contextlib.contextmanager
def redis_node(folder: Path, *options: str, tls: bool = False, password: str = "") -> Iterator[RedisNode]:
    """A redis-server that keeps nothing on disk. `options` are more of its command line."""
    program = find_program("redis-server")
    more = [*options, *(("--requirepass", password, "--masterauth", password) if password else ())]
    with held_port() as port:
        home = folder / str(port)
        home.mkdir()
        ports = ["--port", "0", "--tls-port", str(port)] if tls else ["--port", str(port)]
        command = [program, *ports, "--bind", "127.0.0.1", "--dir", str(home), "--save", "", "--appendonly", "no"]
        node = RedisNode(port, home, [*command, "--repl-diskless-sync-delay", "0", *more], password)
        try:
            node.start()
            yield node
        finally:
            node.kill()


@dataclass
class Guarded:
    """A master, its replica, and the Sentinel that watches both."""

    sentinel: RedisNode
    master: RedisNode
    replica: RedisNode

    @property
    def port(self) -> int:
        return self.sentinel.port

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/main/0"


@contextlib.contextmanager
def sentinel(folder: Path, *, password: str = "", sentinel_password: str = "") -> Iterator[Guarded]:
    """A Sentinel with quorum 1 that replaces a master after half a second of silence."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_node(folder, password=password))
        replicaof = ("--replicaof", "127.0.0.1", str(master.port))
        replica = stack.enter_context(redis_node(folder, *replicaof, password=password))
        until(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"), lambda: replica.log)
        port = stack.enter_context(held_port())
        watcher = RedisNode(port, folder / "sentinel", [], sentinel_password)
        watcher.folder.mkdir()
        file = watcher.folder / "sentinel.conf"
        file.write_text(
            f"port {watcher.port}\nbind 127.0.0.1\ndir {watcher.folder}\n"
            f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
            + (f'requirepass "{sentinel_password}"\n' if sentinel_password else "")
            + (f'sentinel auth-pass main "{password}"\n' if password else "")
        )
        watcher.command = [find_program("redis-server"), str(file), "--sentinel"]
        stack.callback(watcher.kill)
        watcher.start()
        until(lambda: b"num-slaves\r\n$1\r\n1" in watcher.ask("SENTINEL", "master", "main"), lambda: watcher.log)
        yield Guarded(watcher, master, replica)


@contextlib.contextmanager
def cluster(folder: Path, *, has_replica: bool = False) -> Iterator[list[RedisNode]]:
    """Three masters that share the slots; a fourth node, if wanted, is the replica of the first."""
    with contextlib.ExitStack() as stack:
        nodes, buses = [], []
        for _ in range(4 if has_replica else 3):
            buses.append(str(stack.enter_context(held_port())))
            options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", buses[-1])
            nodes.append(stack.enter_context(redis_node(folder, *options)))
        bounds = [0, 5461, 10923, 16384]
        for number, node in enumerate(nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            if number < 3:
                node.ask("CLUSTER", "ADDSLOTSRANGE", str(bounds[number]), str(bounds[number + 1] - 1))
            for other, bus in zip(nodes[:number], buses, strict=False):
                node.ask("CLUSTER", "MEET", "127.0.0.1", str(other.port), bus)
        for node in nodes:
            until(lambda node=node: _has_joined(node, len(nodes)), lambda node=node: node.log)  # type: ignore[misc]
        if has_replica:
            first = nodes[0].ask("CLUSTER", "MYID").split(b"\r\n")[1].decode()
            nodes[3].ask("CLUSTER", "REPLICATE", first)
            for node in nodes:
                until(lambda node=node: b"slave" in node.ask("CLUSTER", "NODES"))  # type: ignore[misc]
            until(lambda: b"master_link_status:up" in nodes[3].ask("INFO", "replication"), lambda: nodes[3].log)
        yield nodes


def _has_joined(node: RedisNode, count: int) -> bool:
    known = node.ask("CLUSTER", "NODES")
    return b"cluster_state:ok" in node.ask("CLUSTER", "INFO") and known.count(b" connected") == count
