"""The tour in a real browser: every story by clicking, by keyboard alone, on a phone, without scripts."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from gateway.demo import site
from gateway.demo.stories import STORIES
from gateway.demo.view import TEMPLATES
from gateway.demo.world import World
from tests.chromium import SECONDS, running_chromium
from tests.demo.traveller import story
from tests.devauth.test_pages import contrast

PHONE = {"width": 360, "height": 740}
# By itself an expectation waits 5 seconds, less than a token or a device here.
expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture
async def address(world: World) -> AsyncIterator[str]:
    async with site.running(world, 0) as running:
        yield running.removesuffix("/")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with running_chromium() as running:
        yield running


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A phone whose browser runs no scripts of pages."""
    opened = await browser.new_context(viewport={**PHONE}, java_script_enabled=False)
    opened.set_default_timeout(SECONDS * 1000)
    yield opened
    await opened.close()


@pytest.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A tab; what the browser complains of, such as a breach of the content security policy, fails the test."""
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    yield opened
    # That a status is not 200 is no complaint about the page.
    assert [text for text in complaints if not text.startswith("Failed to load resource: the server responded")] == []


async def sign_in(page: Page) -> None:
    """On the authorization server's page, if it asks."""
    if await page.get_by_label("User name").count():
        await page.get_by_label("User name").fill("alice")
        await page.get_by_label("Password").fill("alice")
        await page.get_by_role("button", name="Sign in").click()


async def approve_device(page: Page) -> None:
    """In the window that the link opens."""
    async with page.context.expect_page() as opening:
        await page.get_by_role("link", name="Open the page for devices").click()
    other = await opening.value
    await sign_in(other)
    await other.get_by_role("button", name="Continue").click()
    await other.get_by_role("button", name="Approve").click()
    await expect(other).to_have_title("The device is connected")
    await other.close()


async def next_step(page: Page) -> None:
    """Do what the panel at the end of a page wants."""
    panel = page.locator(".panel")
    if await panel.get_by_role("link", name="Go and sign in").count():
        await panel.get_by_role("link", name="Go and sign in").click()
        await sign_in(page)
        await page.get_by_role("button", name="Approve").click()
        return
    if await panel.get_by_role("link", name="Open the page for devices").count():
        await approve_device(page)
    await panel.get_by_role("button").click()


async def check_page(page: Page, name: str) -> None:
    """What has to hold for every page, here on a phone."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    assert await page.evaluate("document.documentElement.lang") == "en", name
    assert await page.locator("h1").count() == 1, name
    assert await page.locator("main").count() == 1, name
    # Also with every fold open: tokens in full are the widest there is.
    await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    levels = await page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(each => +each.tagName[1])")
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), (name, levels)
    for control in await page.locator("button, .button, summary").all():
        box = await control.bounding_box()
        assert box is not None, name
        # 44 pixels: WCAG 2.5.5.
        assert box["height"] >= 44, name
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= PHONE["width"], name


@pytest.mark.parametrize("name", [each.name for each in STORIES])
async def test_a_story_is_clicked_through_on_a_phone_without_scripts(page: Page, address: str, name: str) -> None:
    told = story(name)
    await page.goto(f"{address}/")
    await check_page(page, "the start")
    await page.get_by_role("link", name=told.title, exact=True).click()
    await expect(page).to_have_title(told.title)
    await check_page(page, name)
    for number, step in enumerate(told.steps, start=1):
        await next_step(page)
        await expect(page).to_have_title(f"{step.title} ({told.title}, step {number} of {len(told.steps)})")
        await expect(page).to_have_url(f"{address}/{name}/{number}")
        assert await page.get_by_role("alert").count() == 0, step.title
        await check_page(page, step.title)
    await expect(page.get_by_role("heading", name="The end of this story")).to_be_visible()
    await page.get_by_role("link", name="All stories").click()
    await expect(page.get_by_text("read to the end")).to_be_visible()


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until something of that name has the focus, and see that one can see it."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if await focused.count() and (await focused.inner_text()).strip().startswith(name):
            outline = await focused.evaluate(
                "element => [element, element.closest('li') ?? element]"
                ".map(each => getComputedStyle(each).outlineStyle)"
            )
            assert "solid" in outline, name
            return
    raise AssertionError(f"no way to {name}")


async def test_the_way_to_a_token_and_its_refusal_by_keyboard_alone(page: Page, address: str) -> None:
    await page.goto(f"{address}/")
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("To the content")
    await tab_to(page, "Let an application in")
    await page.keyboard.press("Enter")
    await expect(page).to_have_title("Let an application in")
    await tab_to(page, "Make the link")
    await page.keyboard.press("Enter")
    await expect(page).to_have_title(re.compile("^The link"))
    await tab_to(page, "Go and sign in")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("User name")).to_be_focused()
    await expect(page.get_by_label("User name")).to_be_focused()
    await page.keyboard.type("alice")
    await page.keyboard.press("Tab")
    await page.keyboard.type("alice")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await tab_to(page, "Approve")
    await page.keyboard.press("Enter")
    for button, title in (
        ("Redeem the code", "Sign in and say yes"),
        ("Ask for the orders", "The code for tokens"),
        ("Try to place an order", "The API says yes"),
    ):
        await expect(page).to_have_title(re.compile(f"^{title}"))
        await tab_to(page, button)
        await page.keyboard.press("Space")
    await expect(page).to_have_title(re.compile("^A scope is missing"))
    await tab_to(page, "The token in full")
    token = page.locator("details[open] .value")
    assert await token.count() == 0
    await page.keyboard.press("Enter")
    await expect(token).to_have_text(re.compile(r"^eyJ[\w-]+\.[\w-]+\.[\w-]+$"))


async def test_who_says_no_sees_what_the_client_hears_and_can_begin_again(page: Page, address: str) -> None:
    await page.goto(f"{address}/code")
    await next_step(page)
    await page.get_by_role("link", name="Go and sign in").click()
    await sign_in(page)
    await page.get_by_role("button", name="Deny").click()
    await expect(page).to_have_title(re.compile("^Error: Sign in and say yes"))
    await expect(page.get_by_role("alert")).to_contain_text("access_denied: you have said no")
    await check_page(page, "denied")
    await page.locator(".panel").get_by_role("button", name="Start this story again").click()
    await expect(page).to_have_title("Let an application in")
    await next_step(page)
    await next_step(page)
    await expect(page).to_have_title(re.compile("^Sign in and say yes"))
    assert await page.get_by_role("alert").count() == 0


async def test_a_device_that_nobody_has_approved_may_ask_again(page: Page, address: str) -> None:
    await page.goto(f"{address}/device-code")
    for _ in range(2):
        await next_step(page)
    await page.locator(".panel").get_by_role("button").click()
    await expect(page.get_by_role("alert")).to_contain_text("authorization_pending")
    await expect(page.get_by_role("heading", name="Once more: You approve")).to_be_visible()
    await next_step(page)
    await expect(page).to_have_title(re.compile(r"^You approve"))
    assert await page.get_by_role("alert").count() == 0


async def test_a_time_that_runs_down_can_be_seen_before_the_button_is_there(page: Page, address: str) -> None:
    await page.goto(f"{address}/device-code")
    await next_step(page)
    await page.locator(".panel").get_by_role("button").click(no_wait_after=True)
    numbers, button = page.locator(".countdown b"), page.locator(".panel").get_by_role("button")
    await expect(numbers.first).to_be_visible()
    assert await button.count() == 0
    await expect(button).to_be_visible()
    # The last number lies on top of those before it.
    first, last = await numbers.first.bounding_box(), await numbers.last.bounding_box()
    assert first is not None
    assert last is not None
    assert (first["x"], first["y"]) == (last["x"], last["y"])


async def test_a_decision_leads_to_its_line_of_the_configuration(page: Page, address: str) -> None:
    await page.goto(f"{address}/who-is-who")
    await next_step(page)
    await page.get_by_role("link", name=re.compile("^gateway.yaml:")).click()
    await expect(page.locator("li:target")).to_contain_text("name: read-orders")
    await check_page(page, "configuration")
    await page.goto(f"{address}/nothing")
    await check_page(page, "nothing")


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_in_light_and_dark(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", TEMPLATES.stylesheet(), re.DOTALL)
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[scheme]))
    texts = {
        "ink": ("ground", "paper", "sunken", "accent-ground"),
        "quiet": ("ground", "paper", "sunken"),
        "accent": ("ground", "paper", "accent-ground", "refused-ground"),
        "accent-ink": ("accent",),
        "good": ("good-ground", "paper"),
        "refused": ("refused-ground", "paper"),
        "bad": ("bad-ground", "paper"),
    }
    for text, grounds in texts.items():
        for ground in grounds:
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
