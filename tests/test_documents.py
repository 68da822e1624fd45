"""The documents say what is so: their configurations load, their commands exist and answer as shown, their tables are
whole, their links lead somewhere.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway import build, errors
from gateway.admin.metrics import Metrics
from gateway.cache.redis import SharedStore, check_address
from gateway.cli import COMMANDS, main
from gateway.config import Config, ConfigError, load, parse, schema, supported
from gateway.config.source import read
from gateway.oauth.key_source import StaticKeys
from gateway.oauth.keys import from_jwks
from gateway.process.reload import Reloader
from gateway.record import RequestRecord
from gateway.upstream.service import Upstream
from tests.documents import DOCUMENTS, PLAYED, README, ROOT, blocks, secrets_of, with_files
from tests.upstream.endpoints import make_pool, site
from tests.world import public_jwks

REASONS = [value for value in vars(errors).values() if isinstance(value, errors.Reason)]

SMALLEST = """
issuers: {corp: {issuer: "https://login.example.com", audience: orders-api}}
upstreams: {orders: {url: "http://127.0.0.1:9000"}}
routes: [{path: /**, upstream: orders}]
"""


def named(document: Path, line: int) -> str:
    return f"{document.relative_to(ROOT)}:{line}"


CONFIGURATIONS = [
    pytest.param(text, id=named(document, line)) for document in DOCUMENTS for line, text in blocks(document, "yaml")
]
COMMAND_LINES = [
    pytest.param(shlex.split(command, comments=True), id=f"{named(document, line)} {command[:40]}")
    for document in DOCUMENTS
    if document not in PLAYED
    for line, text in blocks(document, "console")
    for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE)
]


# --- configurations ----------------------------------------------------------------------------------------------


def filled_in(part: Any, whole: Any) -> Any:
    """`part`, with what it leaves out."""
    if not isinstance(part, dict) or not isinstance(whole, dict):
        return part
    kept = {key: value for key, value in whole.items() if key != "url" or "urls" not in part}
    return {**kept, **{key: filled_in(value, whole.get(key)) for key, value in part.items()}}


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_is_good_once_what_it_leaves_out_is_filled_in(text: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(with_files(text, tmp_path), encoding="utf-8")
    # Read by the gateway: for others the key `on` is a truth value.
    whole = filled_in(read(file).data, yaml.safe_load(SMALLEST))
    file.write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert build.problems(load(file, secrets_of(text))) == ()


@pytest.mark.parametrize("example", sorted(ROOT.glob("config/*.yaml")), ids=lambda example: example.name)
def test_an_example_is_good_once_its_secrets_are_given(example: Path) -> None:
    assert build.problems(load(example, secrets_of(example.read_text(encoding="utf-8")))) == ()


FULL = (ROOT / "config/full.yaml").read_text(encoding="utf-8")
FILE_IS_MISSING, NOT_YET = "needs the file", "not supported yet"


def with_comments(*marks: str) -> str:
    """`full.yaml`, in which what is commented out with one of these marks is not."""
    pattern = rf"^( *)# (\S+: .*)(?=   +# (?:{'|'.join(marks)}))"
    return re.sub(pattern, r"\1\2", FULL, flags=re.MULTILINE)


def test_what_needs_a_file_in_the_full_example_is_good_with_it(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(with_files(with_comments(FILE_IS_MISSING), tmp_path), encoding="utf-8")
    config = load(file, {})
    assert build.problems(config) == ()
    assert {issuer.introspection.client_auth for issuer in config.issuers.values() if issuer.introspection} == {
        "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "tls_client_auth"
    }  # fmt: skip


def test_what_is_not_supported_in_the_full_example_is_well_formed_and_refused_for_that_alone(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(with_comments(NOT_YET), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(file, {})
    told = [str(problem) for problem in refused.value.problems if "either url or urls" not in str(problem)]
    assert len(told) == FULL.count(f"# {NOT_YET}")
    assert all(problem.endswith(NOT_YET) for problem in told), told


def keys_of(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of a configuration's or a schema's keys; names that users choose, and list positions, are `*`."""
    if isinstance(part, list):
        for member in part:
            yield from keys_of(member, path)
    for key, value in part.items() if isinstance(part, dict) else ():
        step = "*" if path in USER_NAMED else str(key)
        yield (*path, step)
        yield from keys_of(value, (*path, step))


SCHEMA = schema()
USER_NAMED = (("issuers",), ("upstreams",))
"""Blocks whose keys are names that users choose; those below the claims of a route are conditions, told elsewhere."""


def schema_keys(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all keys there are."""
    if path[-1:] == ("claims",):
        return
    if "$ref" in part:
        part = SCHEMA["$defs"][part["$ref"].rpartition("/")[2]]
    for alternative in (*part.get("anyOf", ()), *filter(None, [part.get("items")])):
        yield from schema_keys(alternative, path)
    for key, value in part.get("properties", {}).items():
        yield (*path, key)
        yield from schema_keys(value, (*path, key))
    if path in USER_NAMED:
        yield from schema_keys(part.get("additionalProperties", {}), (*path, "*"))


KEYS = {path for path in schema_keys(SCHEMA) if path[0] != "route_defaults" or len(path) == 1}


def test_the_full_example_has_every_key_there_is(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(with_comments(FILE_IS_MISSING, NOT_YET), encoding="utf-8")
    shown = set(keys_of(read(file).data))
    assert len(KEYS) > 100
    assert sorted(KEYS - shown) == []


def test_the_reference_of_the_configuration_speaks_of_every_key_that_works() -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    later = [tuple(step for step in path if step != "*") for path, _ in supported.NOT_YET]
    works = [path for path in KEYS if not any(tuple(s for s in path if s != "*")[: len(p)] == p for p in later)]
    missing = {path[-1] for path in works if path[-1] != "*" and not re.search(rf"\b{path[-1]}\b", text)}
    assert missing == set()


ADDRESSES = [
    pytest.param(address, id=named(document, 0) + address)
    for document in DOCUMENTS
    for address in re.findall(r"`((?:rediss?(?:\+\w+)?|unix)://[^`\s]+)`", document.read_text(encoding="utf-8"))
    if not address.endswith("://")
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_of_redis_is_one(address: str) -> None:
    check_address(address)


# --- commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMAND_LINES)
def test_a_command_line_names_a_command_and_options_that_exist(words: list[str]) -> None:
    program, *arguments = words
    if program != "oauth-gateway":
        assert (
            program in {"curl", "docker", "helm", "kill", "kubectl", "redis-cli", "sed"} or (ROOT / program).is_file()
        )
        return
    command: click.Command | None = main
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), arguments.pop(0))
    assert command is not None
    redirection = next((n for n, word in enumerate(arguments) if word in {">", "|", "&"}), len(arguments))
    command.make_parser(click.Context(command)).parse_args(arguments[:redirection])


def test_the_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `oauth-gateway (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


# --- tables and links --------------------------------------------------------------------------------------------


async def taken(_: Config) -> None:
    """Every configuration is taken."""


@dataclass
class Figures:
    hits: int = 1
    misses: int = 1


def test_the_table_of_metrics_has_each_metric_with_its_labels_and_no_other() -> None:
    metrics, store = Metrics(), SharedStore("redis://127.0.0.1:9", prefix="", timeout=1)
    keys = StaticKeys("corp", from_jwks(json.loads(public_jwks())))
    keys.results["ok"] = store.results["ok"] = 1
    metrics.watch(
        requests_in_flight=lambda: 0,
        connections=lambda: 0,
        key_sources=[keys],
        caches={"token": [Figures()]},
        revocations=lambda: 0,
        redis=store,
        upstreams={"orders": Upstream("orders", [site(1)], make_pool)},
    )
    record = RequestRecord("GET", 0.0)
    record.decision, record.upstream, record.upstream_seconds = "allow", "orders", 0.1
    metrics.observe(record)
    record.status, record.reason = 429, "rate_limited"
    metrics.observe(record)
    metrics.observe_introspection("corp", "active", 0.1)
    there: dict[str, set[str]] = {}
    figures = metrics.figures()
    Reloader(parse(yaml.safe_load(SMALLEST)), None, taken).tell(figures)
    for family in text_string_to_metric_families(figures.render().decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        there[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    text = (ROOT / "docs/admin.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(gateway_\w+)` \|(.*?)\|", text, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in listed} == there


def anchors(document: Path) -> set[str]:
    """The anchors that a document's headings get where it is shown."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", document.read_text(encoding="utf-8"))
    for path, _, anchor in (target.partition("#") for target in targets):
        file = document.parent / path if path else document
        assert file.exists(), path
        assert not anchor or anchor in anchors(file), f"{path}#{anchor}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, new = set(), {README}
    while new:
        page = new.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
        new |= {(page.parent / link).resolve() for link in links if not link.startswith("http")} - reached
    folder = {page for page in DOCUMENTS if page.parent.name == "decisions"}
    assert [page.name for page in DOCUMENTS if page not in reached | folder] == []


def test_decisions_are_numbered_without_a_gap_and_say_what_they_decide() -> None:
    pages = [page for page in DOCUMENTS if page.parent.name == "decisions"]
    for number, page in enumerate(pages, 1):
        text = page.read_text(encoding="utf-8")
        assert page.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        assert "**Question.**" in text


def refusal_entries() -> dict[str, str]:
    """The text of each entry of the reference, as one line, by reason."""
    text = (ROOT / "docs/refusals.md").read_text(encoding="utf-8")
    entries = re.split(r"^### `(\w+)`$", text, flags=re.MULTILINE)[1:]
    names, texts = entries[::2], entries[1::2]
    assert len(set(names)) == len(names)
    return {name: " ".join(entry.split()) for name, entry in zip(names, texts, strict=True)}


def test_the_refusal_reference_has_an_entry_for_each_reason_and_no_other() -> None:
    assert sorted(refusal_entries()) == sorted({reason.name for reason in REASONS})


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.name)
def test_an_entry_says_what_the_client_sees_why_and_what_to_do(reason: errors.Reason) -> None:
    entry = refusal_entries()[reason.name]
    code = f"`{reason.error}`" if reason.error else "no code"
    assert f"{reason.status} · {code} · " in entry.partition("**Why.**")[0]
    assert f'"{reason.detail}"' in entry
    assert entry.index("**Why.**") < entry.index("**What to do.**")
