"""The documentation as a site: it builds without a warning, every page is in the navigation, every link leads
somewhere, and no page asks anything of another host.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import html.parser
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from playwright.async_api import Page, Request, Route, TimeoutError

from tests.chromium import running_chromium
from tests.documents import ROOT

PAGES = sorted(page.relative_to(ROOT / "docs") for page in ROOT.glob("docs/**/*.md"))
LOADED = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("form", "action")}
"""The attributes by which a browser asks for something by itself, or sends something."""


class Reader(html.parser.HTMLParser):
    """Collects the anchors of a page, where its links lead, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.nav: list[str] = []
        self._in_nav = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self._in_nav += tag == "nav"
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
            if self._in_nav:
                self.nav.append(given["href"])
        if given.get("rel") != "canonical":
            self.loaded += [value for name, value in given.items() if (tag, name) in LOADED]

    def handle_endtag(self, tag: str) -> None:
        self._in_nav -= tag == "nav"


@dataclass
class Site:
    """The built site; `pages` by their path, such as `recipes/tls/`."""

    folder: Path
    log: str
    pages: dict[str, Reader] = field(default_factory=dict)


def build(folder: Path) -> str:
    """What building says; it must succeed."""
    environ = {**os.environ, "SITE": str(folder)}
    done = subprocess.run(
        [str(ROOT / "scripts/docs")], capture_output=True, text=True, env=environ, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Built once for all workers of a test run."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder
    with (folder / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "site.log").exists():
            (folder / "site.log").write_text(build(folder / "site"), encoding="utf-8")
    made = Site(folder / "site", (folder / "site.log").read_text(encoding="utf-8"))
    for page in made.folder.rglob("*.html"):
        reader = made.pages[str(page.relative_to(made.folder)).removesuffix("index.html")] = Reader()
        reader.feed(page.read_text(encoding="utf-8"))
    return made


def address(page: Path) -> str:
    """Where a page of docs/ is in the site."""
    return str(page).removesuffix("index.md").removesuffix(".md") + ("" if page.name == "index.md" else "/")


def test_building_gives_no_warning(site: Site) -> None:
    assert "WARNING" not in site.log
    assert "contains an absolute link" not in site.log


def test_every_page_is_in_the_site_and_in_its_navigation(site: Site) -> None:
    home = site.pages[""]
    listed = {urlsplit(link).path.removeprefix("./") for link in home.nav}
    for page in PAGES:
        assert address(page) in site.pages, page
        assert address(page) in listed or address(page) == "", page


def test_every_link_and_anchor_leads_somewhere(site: Site) -> None:
    dead = []
    for name, reader in site.pages.items():
        for link in reader.links:
            target = urljoin(f"https://site.example/{name}", link)
            parts = urlsplit(target)
            if parts.netloc != "site.example" or name == "404.html":
                continue
            path, anchor = unquote(parts.path.removeprefix("/")), unquote(parts.fragment)
            if path in site.pages:
                if anchor and anchor not in site.pages[path].anchors:
                    dead.append(f"{name} → {link}")
            elif not (site.folder / path).is_file():
                dead.append(f"{name} → {link}")
    assert dead == []


def test_no_page_asks_anything_of_another_host(site: Site) -> None:
    foreign = {
        f"{name} → {link}"
        for name, reader in site.pages.items()
        for link in reader.loaded
        if urlsplit(link).netloc or link.startswith("//")
    }
    styles = {
        f"{style.name} → {link}"
        for style in site.folder.rglob("*.css")
        for link in re.findall(r"(?:url\(|@import )['\"]?((?:https?:)?//[^)'\"]+)", style.read_text(encoding="utf-8"))
    }
    assert foreign | styles == set()


def test_what_the_build_says_of_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# A page\n\n[nowhere](missing.md)\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: x\nstrict: true\nnav: [{Home: index.md}]\n")
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(tmp_path / "mkdocs.yml"), "-d", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "missing.md" in done.stderr


def test_a_file_outside_the_pages_has_a_page_that_links_lead_to(site: Site) -> None:
    links = {urljoin("https://site.example/reference/", link) for link in site.pages["reference/"].links}
    assert "https://site.example/source/config/full.yaml/" in links
    assert "failed_authentication" in (site.folder / "source/config/full.yaml/index.html").read_text(encoding="utf-8")
    folder = site.pages["source/config/issuers/"]
    assert "../keycloak.yaml/" in folder.links or "keycloak.yaml/" in folder.links


def test_the_decisions_are_listed(site: Site) -> None:
    count = len([page for page in PAGES if page.parent.name == "decisions"])
    listed = {link for link in site.pages["decisions/"].links if re.match(r"\d{4}-", link)}
    assert len(listed) == count > 20


def test_the_script_says_how_it_is_used() -> None:
    done = subprocess.run([str(ROOT / "scripts/docs"), "bake"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "usage: scripts/docs" in done.stderr) == (2, True)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a plain web server for these files: there is nothing else the site needs."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def widths(page: Page) -> tuple[int, int]:
    """How wide the page is, and how wide the window."""
    found = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return found[0], found[1]


async def finds(page: Page, words: str) -> bool:
    """Does the search of the site find something? What is typed before it has loaded is lost, so it is typed again."""
    field = page.locator(".md-search__input")
    for _ in range(20):
        await field.click()
        await field.fill("")
        await field.press_sequentially(words)
        with contextlib.suppress(TimeoutError):
            await page.wait_for_selector(".md-search-result__item", timeout=5_000)
            return True
    return False


async def test_in_a_browser_nothing_foreign_is_asked_search_finds_and_nothing_overflows(site: Site) -> None:
    foreign: list[str] = []

    async def watch(route: Route, request: Request) -> None:
        if urlsplit(request.url).hostname == "127.0.0.1" or request.url.startswith("data:"):
            await route.continue_()
        else:
            foreign.append(request.url)
            await route.abort()

    with served(site.folder) as origin:
        async with running_chromium() as browser:
            page = await browser.new_page(viewport={"width": 390, "height": 800})
            page.set_default_timeout(60_000)
            await page.route("**/*", watch)
            for name in ("", "reference/", "refusals/", "outages/", "recipes/mcp-server/", "coming-from/kong/", "faq/"):
                await page.goto(origin + name)
                wide, window = await widths(page)
                assert wide <= window, name
            await page.set_viewport_size({"width": 1280, "height": 800})
            await page.goto(origin)
            assert await finds(page, "introspection")
            assert foreign == []


async def test_what_is_copied_of_commands_can_be_pasted(site: Site) -> None:
    with served(site.folder) as origin:
        async with running_chromium() as browser:
            context = await browser.new_context()
            await context.grant_permissions(["clipboard-read", "clipboard-write"])
            page = await context.new_page()
            await page.goto(f"{origin}recipes/public-route/")
            await page.locator(".language-console button").first.click(timeout=60_000)
            copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines() == [
        "curl -s http://127.0.0.1:8080/healthz",
        "curl -s http://127.0.0.1:8080/catalogue/chairs",
        "curl -i http://127.0.0.1:8080/orders/1",
    ]
