"""The shape of the code: who may import whom, one place for a `Permit`, sizes, docstrings, and tests without mocks.

The table stands here as data. The checks read source text alone, so that they can be shown to fail on made-up sources.
"""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ROWS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("record",),
    ("http", "cache", "config"),
    ("oauth",),
    ("access",),
    ("upstream", "login"),
    ("router", "parts"),
    ("responses", "backchannel_logout"),
    ("app",),
    ("forward_auth", "explanation", "embedding"),
    ("admin",),
    ("build",),
    ("process",),
    ("demo",),
    ("cli",),
    ("__main__",),
)
"""Files and folders of `gateway/`. A row may import the rows above it, and nothing beside it."""

APART: Mapping[str, frozenset[str]] = {"devauth": frozenset({"oauth", "http", "cache", "errors"})}
"""What stands outside the rows, and all that it may import: the development server is never on the request path."""

IMPORTED_ONLY_BY: Mapping[str, frozenset[str]] = {
    "config": frozenset({"build", "process", "demo", "cli"}),
    "devauth": frozenset({"demo", "cli"}),
}
"""Where being in a lower row is not enough: the running gateway knows objects, not configuration."""

TYPES_ONLY = "if TYPE_CHECKING"
UPWARD = frozenset(
    {
        ("gateway.app", "make_app", "gateway.build"),
        ("gateway.app", TYPES_ONLY, "gateway.config"),
    }
)
"""Module, place and target of each import that breaks the table on purpose (docs/decisions/0007)."""

PERMIT_MAKER = "gateway.access.rules"

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
LONG_FUNCTIONS: Mapping[str, str] = {}
"""`module:qualified name` of each function that may be longer, and the measured gain that pays for it."""

VAGUE_NAMES = frozenset(
    {"util", "utils", "helper", "helpers", "common", "core", "misc", "manager", "engine", "base_classes"}
)

Sources = Mapping[str, str]
"""Source text by dotted module name; a package is named without `__init__`."""


def read_sources(folder: Path) -> Sources:
    """Every Python file below `folder`, by dotted name."""
    sources = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return sources


@dataclass(frozen=True)
class Import:
    """`target` is imported by `module`; `place` is a function's name, TYPES_ONLY, or empty at the top."""

    module: str
    place: str
    target: str
    line: int

    @property
    def is_upward_on_purpose(self) -> bool:
        return (self.module, self.place, self.target) in UPWARD


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of a module with its qualified name, also nested ones."""
    for node in ast.iter_child_nodes(tree):
        name = f"{prefix}{node.name}" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, node
        yield from functions(node, f"{name}." if name else prefix)


def imports(sources: Sources, module: str) -> Iterator[Import]:
    """Imports of `gateway` by one module, wherever they stand: in a function and under TYPE_CHECKING too."""
    tree = ast.parse(sources[module])
    inside = {id(node): name for name, function in functions(tree) for node in ast.walk(function)}
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test):
            inside |= {id(node): TYPES_ONLY for node in ast.walk(block)}
    for node in ast.walk(tree):
        for name in imported_names(node, module, is_package=any(other.startswith(f"{module}.") for other in sources)):
            # `from a import b` names a module or something in one
            is_module = name in sources or not isinstance(node, ast.ImportFrom)
            target = name if is_module else name.rpartition(".")[0]
            if target.partition(".")[0] == "gateway" and target != module:
                yield Import(module, inside.get(id(node), ""), target, getattr(node, "lineno", 0))


def imported_names(node: ast.AST, module: str, *, is_package: bool) -> list[str]:
    """The dotted names that one statement imports: `import a.b`, `from a import b`, `import_module("a.b")`."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=base, names=names, level=level):
            package = module.split(".") if is_package else module.split(".")[:-1]
            start = package[: len(package) - level + 1] if level else []
            return [".".join([*start, *([base] if base else []), alias.name]) for alias in names]
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(text)), *_]):
            return [text] if name in {"import_module", "__import__"} else []
    return []


def unit(module: str) -> str:
    """The file or folder of `gateway/` that a module belongs to; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


def may_import(source: str, target: str) -> bool:
    """Whether the table lets one unit import another."""
    if source == target or not target:
        return True
    if source in APART:
        return target in APART[source]
    if target in IMPORTED_ONLY_BY and source not in IMPORTED_ONLY_BY[target]:
        return False
    rows = {name: number for number, row in enumerate(ROWS) for name in row}
    return target in APART or (source in rows and target in rows and rows[target] < rows[source])


def check_layers(sources: Sources) -> Iterator[str]:
    known = {name for row in ROWS for name in row} | set(APART)
    for module in sources:
        if unit(module) and unit(module) not in known:
            yield f"{module}: has no row in the import table; move it into a folder that has one, or give it a row"
            continue
        for found in imports(sources, module):
            if not may_import(unit(module), unit(found.target)) and not found.is_upward_on_purpose:
                yield (
                    f"{module}:{found.line}: may not import {found.target}; pass the object in from gateway.build, "
                    "or move what both need into a row above"
                )


def check_cycles(sources: Sources) -> Iterator[str]:
    graph = {
        module: {i.target for i in imports(sources, module) if i.place != TYPES_ONLY and not i.is_upward_on_purpose}
        for module in sources
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        cycle = " → ".join(reversed(error.args[1]))
        yield f"import cycle {cycle}; move what they share into a module that imports neither"


def check_permits(sources: Sources) -> Iterator[str]:
    for module, source in sources.items():
        if module == PERMIT_MAKER:
            continue
        tree = ast.parse(source)
        names = {"Permit"} | {
            alias.asname
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.name == "Permit" and alias.asname
        }
        for node in ast.walk(tree):
            if makes_permit(node, names):
                line = getattr(node, "lineno", 0)
                yield f"{module}:{line}: makes a Permit; only {PERMIT_MAKER} may, after every check has passed"


def makes_permit(node: ast.AST, names: set[str]) -> bool:
    """Whether a node calls, casts to, or derives from Permit under one of its names."""

    def is_permit(value: ast.AST) -> bool:
        match value:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                return name in names
        return False

    match node:
        case ast.Call(func=ast.Name(id="isinstance")):
            return False
        case ast.Call(func=function, args=arguments):
            return any(map(is_permit, [function, *arguments]))
        case ast.ClassDef(bases=bases):
            return any(map(is_permit, bases))
    return False


def check_docstrings(sources: Sources) -> Iterator[str]:
    for module, source in sources.items():
        if not ast.get_docstring(ast.parse(source)):
            yield f"{module}: has no docstring; begin with one sentence: what it does, which RFC, what it does not know"


def check_sizes(sources: Sources) -> Iterator[str]:
    allowed = dict(LONG_FUNCTIONS)
    for module, source in sources.items():
        if (length := source.count("\n")) > LONGEST_MODULE:
            yield f"{module}: {length} lines, at most {LONGEST_MODULE}; split it by noun"
        for name, function in functions(ast.parse(source)):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > LONGEST_FUNCTION and not allowed.pop(f"{module}:{name}", ""):
                yield (
                    f"{module}:{function.lineno}: {name} has {length} lines, at most {LONGEST_FUNCTION}; cut it, "
                    "or list it in LONG_FUNCTIONS with the measured gain"
                )
    for entry in allowed:
        yield f"{entry}: is short enough or gone; take it out of LONG_FUNCTIONS"


def check_names(sources: Sources) -> Iterator[str]:
    for module in sources:
        if vague := VAGUE_NAMES & set(module.split(".")):
            yield f"{module}: {min(vague)!r} says nothing; name it by the RFC's or HTTP's word for what is in it"


def check_unfinished(sources: Sources) -> Iterator[str]:
    for module, source in sources.items():
        for number, line in enumerate(source.splitlines(), start=1):
            if word := re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", line):
                yield f"{module}:{number}: {word[0]}; finish it, or refuse what is not supported with a plain error"


def check_mocks(sources: Sources) -> Iterator[str]:
    advice = "pass time, randomness, network or environment in as an argument, or use a real socket or process"
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if name := mocking_name(node):
                yield f"{module}:{getattr(node, 'lineno', 0)}: {name} replaces objects under test; {advice}"


def mocking_name(node: ast.AST) -> str:
    """The name by which a node imports or asks for something that replaces objects; empty when it does not."""
    match node:
        case ast.Import(names=names):
            found = [alias.name for alias in names]
        case ast.ImportFrom(module=base, names=names):
            found = [f"{base}.{alias.name}" for alias in names]
        case ast.arg(arg=name) | ast.Attribute(attr="MonkeyPatch" as name):
            found = [name]
        case _:
            found = []
    return next((name for name in found if re.search(r"(?i)mock|patch$", name)), "")


Check = Callable[[Sources], Iterator[str]]
GATEWAY_CHECKS: tuple[Check, ...] = (
    check_layers,
    check_cycles,
    check_permits,
    check_docstrings,
    check_sizes,
    check_names,
    check_unfinished,
)


@pytest.mark.parametrize("check", GATEWAY_CHECKS, ids=lambda check: check.__name__)
def test_the_gateway_has_the_shape_of_the_design(check: Check) -> None:
    problems = list(check(read_sources(ROOT / "gateway")))
    assert not problems, "\n" + "\n".join(problems)


def test_no_test_replaces_an_object_of_the_gateway() -> None:
    problems = list(check_mocks(read_sources(ROOT / "tests")))
    assert not problems, "\n" + "\n".join(problems)


def test_every_upward_import_of_the_table_is_still_there() -> None:
    sources = read_sources(ROOT / "gateway")
    found = {(i.module, i.place, i.target) for module in sources for i in imports(sources, module)}
    assert found >= UPWARD, "take what is gone out of UPWARD"


def module(body: str) -> str:
    return f'"""Made up."""\n{body}\n'


LONG_BODY = "\n".join(f"    x = {n}" for n in range(LONGEST_FUNCTION))
BREACHES: list[tuple[Check, Sources, str]] = [
    (check_layers, {"gateway.oauth.jwt": module("import gateway.access.rules")}, "may not import gateway.access"),
    (check_layers, {"gateway.http.server": module("from gateway.cache import memory")}, "may not import gateway.cache"),
    (check_layers, {"gateway.app": module("from gateway import config"), "gateway.config": ""}, "gateway.config"),
    (check_layers, {"gateway.router": module("def f():\n    from gateway.app import Gateway")}, "gateway.app"),
    (check_layers, {"gateway.app": module("def other():\n    from gateway.build import b")}, "gateway.build"),
    (check_layers, {"gateway.router": module("if TYPE_CHECKING:\n    import gateway.config.model")}, "gateway.config"),
    (check_layers, {"gateway.http.tls": module("from ..oauth import jwt")}, "may not import gateway.oauth"),
    (check_layers, {"gateway.errors": module('importlib.import_module("gateway.cli")')}, "may not import gateway"),
    (check_layers, {"gateway.devauth.server": module("from gateway.access import policy")}, "gateway.access"),
    (check_layers, {"gateway.process.worker": module("import gateway.devauth.server")}, "gateway.devauth"),
    (check_layers, {"gateway.demo.world": module("from gateway.cli import serve")}, "may not import gateway.cli"),
    (check_layers, {"gateway.novelty": module("")}, "has no row"),
    (
        check_cycles,
        {"gateway.oauth.jwt": module("import gateway.oauth.jwks"), "gateway.oauth.jwks": module("from . import jwt")},
        "import cycle gateway.oauth",
    ),
    (check_permits, {"gateway.app": module("permit = Permit(token)")}, "makes a Permit"),
    (check_permits, {"gateway.app": module("permit = rules.Permit(token)")}, "makes a Permit"),
    (check_permits, {"gateway.app": module("from gateway.access.rules import Permit as P\nP()")}, "makes a Permit"),
    (check_permits, {"gateway.app": module("permit = object.__new__(Permit)")}, "makes a Permit"),
    (check_permits, {"gateway.app": module('permit = cast("Permit", None)')}, "makes a Permit"),
    (check_permits, {"gateway.app": module("class Pass(Permit): ...")}, "makes a Permit"),
    (check_docstrings, {"gateway.app": "import os\n"}, "has no docstring"),
    (check_sizes, {"gateway.app": module("\n" * LONGEST_MODULE)}, "split it by noun"),
    (check_sizes, {"gateway.app": module(f"class A:\n  def f(self):\n{LONG_BODY}")}, "A.f has 61 lines"),
    (check_names, {"gateway.http.utils": module("")}, "'utils' says nothing"),
    (check_unfinished, {"gateway.app": module("# TO" + "DO: later")}, "finish it"),
    *(
        (check_mocks, {"tests.test_app": module(body)}, "replaces objects under test")
        for body in (
            f"from unittest import {'mo'}ck",
            f"import unittest.{'mo'}ck as m",
            "from pytest_mock import plugin",
            "def test_x(automatic_patch): ...",
            "patch = pytest.MonkeyPatch()",
        )
    ),
]


@pytest.mark.parametrize(("check", "sources", "message"), BREACHES)
def test_a_breach_is_found(check: Check, sources: Sources, message: str) -> None:
    assert any(message in problem for problem in check(sources))


@pytest.mark.parametrize(
    ("check", "sources"),
    [
        (check_layers, {"gateway.access.rules": module("from gateway.errors import X\nimport gateway.oauth.jwt")}),
        (check_layers, {"gateway.app": module("def make_app():\n    from gateway.build import build")}),
        (check_layers, {"gateway.cli.demo": module("import gateway.demo.world, gateway.config")}),
        (check_layers, {"gateway.demo.world": module("import gateway.devauth.server, gateway.config")}),
        (check_layers, {"gateway.config.load": module("from gateway import __version__"), "gateway": module("")}),
        (check_permits, {"gateway.access.rules": module("permit = Permit(token)")}),
        (
            check_permits,
            {"gateway.app": module("def f(permit: Permit) -> bool:\n    return isinstance(permit, Permit)")},
        ),
        (check_mocks, {"tests.test_app": module("async def test_x(client):\n    await client.patch('/orders')")}),
    ],
)
def test_what_the_design_allows_is_not_a_breach(check: Check, sources: Sources) -> None:
    assert list(check(sources)) == []


def test_every_long_function_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in LONG_FUNCTIONS.values()), "write down the measured gain"
