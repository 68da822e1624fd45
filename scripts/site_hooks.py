"""What mkdocs does besides for build/site: the decisions in the navigation, and a page for each file outside docs/
that a page links to, so that the site is whole without the repository.

A link is the same in the repository and in the site: `../config/full.yaml` leads to the file here, and to the page
`source/config/full.yaml` there.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "source/"
"""Where the pages of files outside docs/ are in the site."""

_DECISIONS = "decisions/index.md"
_ABOUT_DECISIONS = """\
# Decisions

What others will ask about: the question, what was decided, and why.
"""
_FENCED = re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)[ ]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
# A word after the language is for the tests.
_MARKED = re.compile(r"^(`{3,}\w+) \w+$", re.MULTILINE)
_LANGUAGES = {
    "Dockerfile": "docker",
    ".css": "css",
    ".json": "json",
    ".lock": "text",
    ".mjs": "js",
    ".py": "python",
    ".tpl": "text",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    "": "bash",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions, each under its number and title."""
    decisions = [{_title(page): f"decisions/{page.name}"} for page in _decisions()]
    for entry in config.nav or ():
        if "Decisions" in entry:
            entry["Decisions"] = [_DECISIONS, *decisions]
    return config


def _decisions() -> list[Path]:
    return sorted((ROOT / "docs/decisions").glob("*.md"))


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file or folder outside docs/ that is linked, from the pages and from what is added."""
    pages = list(files.documentation_pages())
    listed = "\n".join(f"- [{_title(page)}]({page.name})" for page in _decisions())
    files.append(File.generated(config, _DECISIONS, content=f"{_ABOUT_DECISIONS}\n{listed}\n"))
    waiting = [f"docs/{file.src_uri}" for file in pages] + ["CHANGELOG.md"]
    seen: set[str] = set(waiting) - {"CHANGELOG.md"}
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            files.append(File.generated(config, _page_of(path), content=_content(path)))
        waiting += [target for target in _targets(path) if target not in seen and not target.startswith("docs/")]
    return files


def _targets(path: str) -> Iterator[str]:
    """The paths, seen from the repository, of what a Markdown file or a folder links to."""
    if (ROOT / path).is_dir() or path.endswith(".md"):
        for found in _links(_content(path) if (ROOT / path).is_dir() else (ROOT / path).read_text(encoding="utf-8")):
            target = _resolved(path, found[1])
            if (ROOT / target).exists():
                yield target


def _links(text: str) -> Iterator[re.Match[str]]:
    """Each relative link that stands in no code."""
    hidden = [found.span() for pattern in (_FENCED, _CODE) for found in pattern.finditer(text)]
    for found in _LINK.finditer(text):
        if not any(begin < found.start() < end for begin, end in hidden):
            yield found


def _resolved(path: str, target: str) -> str:
    folder = path if (ROOT / path).is_dir() else posixpath.dirname(path)
    return posixpath.normpath(posixpath.join(folder, target))


def _page_of(path: str) -> str:
    """The page in the site, seen from docs/, of a file or folder of the repository."""
    if path == "docs/decisions":
        return _DECISIONS
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if (ROOT / path).is_dir():
        return f"{SOURCE}{path}/README.md" if (ROOT / path / "README.md").exists() else f"{SOURCE}{path}/index.md"
    return f"{SOURCE}{path}" if path.endswith(".md") else f"{SOURCE}{path}.md"


def _content(path: str) -> str:
    """The Markdown of such a page."""
    file = ROOT / path
    if file.is_dir() and (file / "README.md").exists():
        return (file / "README.md").read_text(encoding="utf-8")
    if path.endswith(".md"):
        return file.read_text(encoding="utf-8")
    hidden = "---\nsearch: {exclude: true}\n---\n"
    if file.is_dir():
        members = sorted(member for member in file.iterdir() if member.is_file() and not member.name.startswith("."))
        listed = "\n".join(f"- [{member.name}]({member.name})" for member in members)
        return f"{hidden}# {path}\n\nThe files of this folder of the repository.\n\n{listed}\n"
    language = _LANGUAGES.get(file.name) or _LANGUAGES.get(file.suffix, "text")
    return f"{hidden}# {path}\n\n`````{language}\n{file.read_text(encoding='utf-8')}\n`````\n"


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Let each link to a file of the repository lead to its page."""
    here = page.file.src_uri
    path = here.removeprefix(SOURCE) if here.startswith(SOURCE) else f"docs/{here}"
    path = path.removesuffix("/index.md") if here.startswith(SOURCE) else path
    parts, end = [], 0
    for found in _links(markdown):
        target = _resolved(path, found[1])
        if (
            not (path.startswith("docs/") and target.startswith("docs/") and target.endswith(".md"))
            and (ROOT / target).exists()
        ):
            there = posixpath.relpath(_page_of(target), posixpath.dirname(here) or ".")
            parts += [markdown[end : found.start()], there, found[2] or ""]
            end = found.end()
    return _MARKED.sub(r"\1", "".join(parts) + markdown[end:])
