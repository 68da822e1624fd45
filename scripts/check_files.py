"""Two checks of the files themselves, called by scripts/check: what they must not name, and whether the locks fit.

    check_files.py addresses FOLDER   no file of the checkout names a package registry or a path of this machine
    check_files.py locks FOLDER       the requirements*.lock are what pyproject.toml asks for

Prints one line per finding and exits 1 when there is one. Works offline.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

REGISTRIES = (
    r"pypi\.org",
    r"pythonhosted\.org",
    r"registry\.npmjs\.org",
    r"registry\.yarnpkg\.com",
    r"proxy\.golang\.org",
    r"crates\.io",
)
# Places every system has: a checkout or a home below them says nothing about the machine.
EVERYWHERE = {
    "/",
    "/tmp",
    "/var",
    "/var/tmp",
    "/opt",
    "/srv",
    "/usr",
    "/usr/src",
    "/home",
    "/Users",
    "/mnt",
    "/run",
    "/etc",
}

LOCKS: Mapping[str, tuple[str, ...]] = {"requirements.lock": (), "requirements-test.lock": ("test", "docs", "otel")}
"""Each lock, and the extras that it holds besides the dependencies."""
BUILD_LOCK = "requirements-build.lock"
"""What builds the distribution; its versions are those of the last of `LOCKS`."""


def forbidden_patterns(root: Path, home: str, settings: Mapping[str, str]) -> list[re.Pattern[str]]:
    """What no file of the checkout may contain, seen from this machine; `settings` are those of its package tools."""
    urls = re.findall(r"https?://[^\s'\"]+", " ".join(settings.values()))
    hosts = {host for url in urls if (host := urlsplit(url).hostname)} - {"localhost", "127.0.0.1"}
    folders = {str(root.parent), home.rstrip("/") or "/"}
    if len(root.parts) > 2:
        folders.add(str(root))
    for name, value in settings.items():
        if re.search("find.links$", name):
            folders.update(word for word in value.split() if word.startswith("/"))
    patterns = [*REGISTRIES, *(re.escape(host) for host in sorted(hosts))]
    patterns += [rf"(?<![\w./-]){re.escape(folder)}(?![\w-])" for folder in sorted(folders - EVERYWHERE)]
    return [re.compile(pattern) for pattern in patterns]


def find_addresses(root: Path, files: Iterable[str], patterns: Iterable[re.Pattern[str]]) -> Iterator[str]:
    """`file:line: …` for each line that names a forbidden address or path."""
    patterns = list(patterns)
    for name in files:
        path = root / name
        if not path.is_file() or path.is_symlink():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if found := next(filter(None, (pattern.search(line) for pattern in patterns)), None):
                yield f"{name}:{number}: names {found[0]!r}; take the address or path of a machine out"


def checkout_files(root: Path) -> list[str]:
    """Names of all files that are, or would be, committed."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return sorted(filter(None, listed.split("\0")))


def package_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """How pip, uv and npm are configured on this machine, by lower-case name."""
    settings = {name.lower(): value for name, value in environ.items()}
    settings = {name: value for name, value in settings.items() if name.startswith(("pip_", "uv_", "npm_config_"))}
    command = [sys.executable, "-m", "pip", "config", "list"]
    for line in subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines():
        name, _, value = line.partition("=")
        settings[name] = value.strip("'\"")
    return settings


def read_lock(text: str) -> tuple[dict[str, list[Requirement]], list[str]]:
    """The pinned requirements by canonical name, and what is wrong with the lock itself."""
    pins: dict[str, list[Requirement]] = {}
    problems = []
    for entry in re.split(r"\n(?=\S)", text.strip()):
        line = entry.partition(" \\\n")[0]
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            problems.append(f"{line.splitlines()[0]!r} is no pinned requirement")
            continue
        if not re.fullmatch(r"==[^*,]+", str(requirement.specifier)):
            problems.append(f"{requirement.name} is not pinned with ==")
        if "--hash=sha256:" not in entry:
            problems.append(f"{requirement.name} has no hash")
        pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pins, problems


def find_lock_problems(root: Path) -> Iterator[str]:
    """What does not fit between pyproject.toml and the two locks."""
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    first: dict[str, list[Requirement]] = {}
    for name, extras in LOCKS.items():
        pins, problems = read_lock((root / name).read_text(encoding="utf-8"))
        wanted = [*project["dependencies"], *(r for extra in extras for r in project["optional-dependencies"][extra])]
        for text in wanted:
            problems += unmet(Requirement(text), pins)
        for package, requirements in first.items():
            if {str(r.specifier) for r in requirements} != {str(r.specifier) for r in pins.get(package, [])}:
                problems.append(f"{package} is not the version of {next(iter(LOCKS))}")
        first = first or pins
        yield from (f"{name}: {problem}; run scripts/lock" for problem in problems)
    build, problems = read_lock((root / BUILD_LOCK).read_text(encoding="utf-8"))
    for text in document["build-system"]["requires"]:
        problems += unmet(Requirement(text), build)
    for package, requirements in build.items():
        if {str(r.specifier) for r in requirements} != {str(r.specifier) for r in pins.get(package, [])}:
            problems.append(f"{package} is not the version of {name}")
    yield from (f"{BUILD_LOCK}: {problem}; run scripts/lock" for problem in problems)


def unmet(wanted: Requirement, pins: Mapping[str, list[Requirement]]) -> list[str]:
    """Why these pins do not give what is wanted; empty when they do."""
    pinned = pins.get(canonicalize_name(wanted.name))
    if not pinned:
        return [f"{wanted.name} is missing"]
    versions = [str(requirement.specifier).removeprefix("==") for requirement in pinned]
    return [
        f"{wanted.name} {version} does not fit {wanted.specifier}"
        for version in versions
        if not wanted.specifier.contains(version, prereleases=True)
    ]


def main(arguments: list[str]) -> int:
    """Run one check and print what it finds."""
    match arguments:
        case ["addresses", folder]:
            root = Path(folder).resolve()
            patterns = forbidden_patterns(root, os.environ.get("HOME", "/"), package_settings(os.environ))
            found = list(find_addresses(root, checkout_files(root), patterns))
        case ["locks", folder]:
            found = list(find_lock_problems(Path(folder)))
        case _:
            found = [__doc__ or ""]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
