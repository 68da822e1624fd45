"""The documents of this repository as tests read them: their fenced blocks, and the files that configurations name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from tests.issuer import private_key, server_tls
from tests.world import public_jwks

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = ROOT / "README.md"
RECIPES = sorted(page for page in ROOT.glob("docs/recipes/*.md") if page.name != "index.md")
PLAYED = [ROOT / "docs/quick-start.md", *RECIPES]
"""Pages that are run from top to bottom, as a reader would."""
APART = {
    ROOT / "docs/reload.md": ROOT / "tests/test_reload_document.py",
    ROOT / "docs/policy-tests.md": ROOT / "tests/cli/test/test_policy_tests_document.py",
}
"""Pages whose commands have a test of their own, for they change what the next one meets."""

SECRET = "a secret that is long enough for everything"
_FILES = re.compile(r"(?:/etc/oauth-gateway|/run/secrets)/([\w.-]+)")


def blocks(document: Path, language: str) -> Iterator[tuple[int, str]]:
    """Line number and text of each fenced block in that language."""
    text = document.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start()) + 1, found[1]


def compared(document: Path) -> Iterator[tuple[int, str, str]]:
    """Line of the block, command and output of what a page shows of a gateway that stands beside the README's file."""
    if document in PLAYED or document in APART:
        return
    for line, text in blocks(document, "console"):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            if output and command.startswith(("curl", "oauth-gateway explain")):
                yield line, command, output


def secrets_of(text: str) -> dict[str, str]:
    """A value for each environment variable that a configuration names without a default."""
    return {name: SECRET for name in re.findall(r"\$\{([A-Z_]+)\}", text)}


def with_files(text: str, folder: Path) -> str:
    """The same configuration with the files it names, each what its ending says."""
    for name in _FILES.findall(text):
        _write_file(folder / name)
    return _FILES.sub(rf"{folder}/\1", text)


def _write_file(path: Path) -> None:
    plain = serialization.NoEncryption()
    key = private_key("P-256").private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    if path.name == "client.pem" or path.suffix == ".key":
        path.write_bytes(key)
    elif path.suffix == ".pem":
        server_tls(path.parent)
        path.write_bytes((path.parent / "tls.pem").read_bytes())
    else:
        path.write_text(public_jwks() if path.suffix == ".json" else SECRET, encoding="utf-8")
