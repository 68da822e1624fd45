"""CPU time per request of the gateway beside plain nginx, measured in turns; see `scripts/bench --help`."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from benchmarks.measure import LoadError, Result, Sample, load
from benchmarks.servers import Server, StartError, gateway, plain_proxy, upstream
from gateway import __version__


def write_keys(path: Path) -> str:
    """Write the public key set of a new issuer, and return one valid token of it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "bench", "use": "sig", "alg": "RS256"}
    path.write_text(json.dumps({"keys": [public]}))
    now = int(time.time())
    claims = {
        "iss": "https://login.example.com",
        "aud": "orders-api",
        "sub": "user-42",
        "client_id": "wrk",
        "scope": "orders:read profile",
        "iat": now,
        "exp": now + 3600,
    }
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "bench", "typ": "at+jwt"})


@contextlib.contextmanager
def servers(command: Path, core: int, other: int) -> Iterator[list[Server]]:
    """Everything that is measured, the floor first; the upstream shares the other core with wrk."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        api = stack.enter_context(upstream(other, folder))
        floor = stack.enter_context(plain_proxy(core, folder, api.port))
        keys = folder / "jwks.json"
        token = write_keys(keys)
        yield [floor, stack.enter_context(gateway(command, core, folder, api.port, keys, token))]


def measure(measured: Sequence[Server], core: int, rounds: int, seconds: int, connections: int) -> list[Result]:
    """Load the servers in turns, so that a change of the machine meets both, after one second to warm up."""
    samples: dict[str, list[Sample]] = {server.name: [] for server in measured}
    for server in measured:
        load(server, core, connections, 1)
    for number in range(1, rounds + 1):
        for server in measured:
            sample = load(server, core, connections, seconds)
            samples[server.name].append(sample)
            print(f"round {number}: {server.name}: {sample.microseconds:.1f} µs/request", file=sys.stderr, flush=True)
    return [Result.of(name, of_server) for name, of_server in samples.items()]


def table(results: Sequence[Result]) -> str:
    """A Markdown table; the first row is what the others are compared with."""
    floor = results[0].microseconds
    lines = ["| | CPU µs/request | requests/s | p50 ms | p99 ms | CPU vs. nginx |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.name} | {row.microseconds:.1f} | {row.requests_per_second:,.0f} | {row.p50:.2f} | {row.p99:.2f} "
        f"| {row.microseconds / floor:.2f} |"
        for row in results
    ]
    return "\n".join(lines)


def processor() -> str:
    """The processor's name as Linux knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def first_line(*command: str) -> str:
    """What a program says of itself, on whichever stream."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def version_of(package: str) -> str:
    """The installed version of a package, or that there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def circumstances(connections: int, rounds: int, seconds: int) -> str:
    """Machine, date and versions: without them the figures mean nothing."""
    packages = ", ".join(f"{name} {version_of(name)}" for name in ("uvloop", "httptools", "aiohttp"))
    today = datetime.datetime.now(datetime.UTC).date()
    wrk = " ".join(first_line("wrk", "-v").split()[:2])
    return (
        f"{today}, {processor()}, {os.cpu_count()} cores, Linux {platform.release()}\n"
        f"oauth-gateway {__version__}, Python {platform.python_version()}, {packages}; "
        f"{first_line('nginx', '-v')}; {wrk}\n"
        f"One core for what is measured, one for wrk and the upstream; small GET, {connections} connections, one valid "
        f"RS256 token, one scope; median of {rounds} rounds of {seconds} s in turns"
    )


def main() -> int:
    """Run the benchmark and print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each server (default: 5)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds a round (default: 4)")
    parser.add_argument("--connections", type=int, default=32, help="connections of wrk (default: 32)")
    beside = Path(sys.executable).with_name("oauth-gateway")
    parser.add_argument("--command", type=Path, default=beside, help="another oauth-gateway to measure")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("scripts/bench: needs two cores, one for what is measured and one for the load", file=sys.stderr)
        return 2
    try:
        with servers(options.command, cores[0], cores[1]) as measured:
            results = measure(measured, cores[1], options.rounds, options.seconds, options.connections)
    except (StartError, LoadError) as problem:
        print(f"scripts/bench: {problem}", file=sys.stderr)
        return 1
    print(circumstances(options.connections, options.rounds, options.seconds), table(results), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
