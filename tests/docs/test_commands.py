"""Every command and every configuration that a document shows is run or checked by some test, or stands here with the
reason why not.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway import build
from gateway.config import load
from tests.docs.stage import Command, as_shown, blocks, commands
from tests.documents import APART, DOCUMENTS, PLAYED, README, ROOT, compared, secrets_of, with_files
from tests.documents import blocks as plain_blocks
from tests.world import mint, public_jwks

CHART = ROOT / "helm/oauth-gateway/README.md"
INDEX = ROOT / "docs/recipes/index.md"

NOT_RUN = {
    r"docker (?:build|push|run) .*": "no container engine: tests/test_image.py runs the steps of the Dockerfile",
    r"kubectl rollout status .*": "no cluster: the name is that of the rendered Deployment",
    r"redis-cli ACL SETUSER .*": "sent to a real Redis by tests/test_documented_commands.py",
    r"scripts/(?:test|check)\b.*|\.ci/run\b.*": "would run the tests within the tests: tests/test_scripts.py",
    r"scripts/bench .*": "takes minutes and a quiet machine: tests/benchmarks",
    r"scripts/demo(?: --tour)?|scripts/demo +#.*|oauth-gateway demo": "runs until it is ended: tests/cli/test_demo.py",
    r"scripts/docs.*": "built by tests/docs/test_site.py",
    r"oauth-gateway devauth(?: --listen 0\.0\.0\.0:9400 .*)?": "listens on a fixed port: tests/cli/test_devauth.py",
    r"oauth-gateway serve -c config/gateway\.yaml": "listens on a fixed port: tests/process",
    r"oauth-gateway check --online .*": "asks issuers that are made up: tests/cli/test_commands.py",
    r"oauth-gateway token get --(?:issuer https|grant device_code).*": "waits for people: tests/cli/token",
    r'curl -H "Authorization: Bearer \$\(oauth-gateway token get --issuer https.*': "asks an issuer that is made up",
}
"""Commands that no test runs as they stand, and why, or where what they do is tested. All of them are still parsed."""

TRIED = {
    "oauth-gateway check -c config/gateway.yaml",
    "oauth-gateway schema > gateway.schema.json",
    "oauth-gateway explain GET /orders/acme/1 -t @token.txt -c config/gateway.yaml",
    "oauth-gateway token inspect @token.txt -c config/gateway.yaml",
    "oauth-gateway demo --once --port 0",
}
"""Commands that are run here, beside the README's route file."""


def bare(command: str) -> str:
    """A command without the comment behind it."""
    return re.sub(r"\s+#.*$", "", command)


def is_not_run(command: str) -> bool:
    """Does this command stand in `NOT_RUN`?"""
    return any(re.fullmatch(pattern, bare(command)) or re.fullmatch(pattern, command) for pattern in NOT_RUN)


def has_a_test(document: Path, command: Command, title: str) -> bool:
    """Is there a test that runs it?"""
    text = bare(command.text)
    if document in PLAYED or text in TRIED:
        return True
    if document in APART:
        return APART[document].exists()
    if document == INDEX:
        return bool(title)  # what tests/docs/stage.py starts
    if text.startswith(("helm ", "kubectl apply ")):
        return document in {README, ROOT / "docs/kubernetes.md", CHART}  # tests/helm/test_documents.py
    # tests/test_documented_commands.py
    return any(command.text == run and command.output == output for _, run, output in compared(document))


COMMANDS = [
    (document, block.title, command)
    for document in [*DOCUMENTS, CHART]
    for block in blocks(document)
    if block.language == "console"
    for command in commands(block)
]


def test_every_command_is_run_by_a_test_or_listed_with_a_reason() -> None:
    forgotten = [
        f"{document.relative_to(ROOT)}:{command.line}: {command.text}"
        for document, title, command in COMMANDS
        if not has_a_test(document, command, title) and not is_not_run(command.text)
    ]
    assert forgotten == []


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_what_is_listed_as_not_run_is_still_in_a_document(pattern: str) -> None:
    texts = [text for _, _, command in COMMANDS for text in (command.text, bare(command.text))]
    assert any(re.fullmatch(pattern, text) for text in texts)


def test_no_block_of_a_document_is_read_by_nobody() -> None:
    """A fence that is written in another way would be shown, and be tested by nobody."""
    for document in DOCUMENTS:
        text = re.sub(
            r"^```yaml (?:values|chart)$", "```yaml", document.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        found = len(re.findall(r"^```\w", text, re.MULTILINE))
        marked = len(re.findall(r"^```yaml (?:values|chart)$", document.read_text(encoding="utf-8"), re.MULTILINE))
        assert found == len(blocks(document)) + marked, document


WHOLE = [
    pytest.param(block.text, id=f"{document.relative_to(ROOT)}:{block.line}")
    for document in DOCUMENTS
    if document not in PLAYED
    for block in blocks(document)
    if block.title == "gateway.yaml"
]


@pytest.mark.parametrize("text", WHOLE)
def test_a_whole_configuration_has_no_problems(text: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(with_files(text, tmp_path), encoding="utf-8")
    assert build.problems(load(file, secrets_of(text))) == ()


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a folder with the README's route file and a token that expired 311 seconds ago."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/gateway.yaml").write_text(next(plain_blocks(README, "yaml"))[1], encoding="utf-8")
    (tmp_path / "jwks.json").write_text(public_jwks(), encoding="utf-8")
    issuer = "https://login.example.com/realms/corp"
    token = mint(iss=issuer, aud="billing-api", tenant="acme", exp=int(time.time()) - 311)
    (tmp_path / "token.txt").write_text(token, encoding="utf-8")
    return {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "OAUTH_GATEWAY__ISSUERS__CORP__JWKS_FILE": str(tmp_path / "jwks.json"),
    }


@pytest.mark.parametrize("text", sorted(TRIED))
def test_a_command_prints_what_is_shown(text: str, shell: dict[str, str], tmp_path: Path) -> None:
    program = f"{shlex.quote(sys.executable)} -m gateway"
    script = re.sub(r"^oauth-gateway", program, text)
    environ = {name: value for name, value in shell.items() if "demo" not in text or not name.startswith("OAUTH")}
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environ,
        timeout=120,
        check=False,
    )
    # An expired token is refused: 1.
    assert done.returncode == int("token.txt" in text), done.stdout + done.stderr
    for document, _, command in COMMANDS:
        if document not in APART and bare(command.text) == text and command.output:
            shown, printed = (re.sub(r"\b\d+ s\b", "N s", output) for output in (command.output, done.stdout))
            assert as_shown(shown, printed), f"{document.name}:{command.line}\n{printed}"
