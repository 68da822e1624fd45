"""The pages in a real browser: both flows by clicking, by keyboard alone, on a phone, and in no frame."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, expect

from gateway.devauth.pages import duration, fill, stylesheet
from gateway.devauth.server import DevelopmentServer
from tests.chromium import SECONDS, running_chromium
from tests.devauth.visitor import Visitor

PHONE = {"width": 320, "height": 568}


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with running_chromium() as running:
        yield running


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    opened = await browser.new_context()
    opened.set_default_timeout(SECONDS * 1000)
    yield opened
    await opened.close()


@pytest.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A tab; what the browser complains of, such as a breach of the content security policy, fails the test."""
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    # That a status is not 200 is no complaint about the page, nor that nobody listens where the client would.
    usual = ("Failed to load resource: the server responded", "Failed to load resource: net::ERR_CONNECTION_REFUSED")
    assert [text for text in complaints if not text.startswith(usual)] == []


class Application:
    """The client, to which users come back; `received` are the answers. It sends users on to another of its origins."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        self.port = 0

    @property
    def callback(self) -> str:
        return f"http://127.0.0.1:{self.port}/callback"

    async def start(self) -> web.AppRunner:
        async def callback(request: web.Request) -> web.Response:
            self.received.append(dict(request.query))
            raise web.HTTPFound(f"http://localhost:{self.port}/home")

        async def home(_: web.Request) -> web.Response:
            return web.Response(text="<title>Home</title><h1>Welcome back</h1>", content_type="text/html")

        async def framing(request: web.Request) -> web.Response:
            frame = f'<title>Trap</title><iframe name="trap" src="{request.query["url"]}"></iframe>'
            return web.Response(text=frame, content_type="text/html")

        application = web.Application()
        application.add_routes([web.get("/callback", callback), web.get("/home", home), web.get("/framing", framing)])
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        return runner


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    running = Application()
    runner = await running.start()
    yield running
    await runner.cleanup()


def address(visitor: Visitor, application: Application) -> str:
    query = visitor.address({"redirect_uri": application.callback})
    return f"{visitor.issuer}{query}"


async def sign_in(page: Page, name: str = "alice", password: str = "") -> None:
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Password").fill(password or name)
    await page.get_by_role("button", name="Sign in").click()


async def test_the_code_flow_by_clicking_ends_in_a_token(
    page: Page, visitor: Visitor, application: Application
) -> None:
    await page.goto(address(visitor, application))
    await expect(page).to_have_title("Sign in")
    await expect(page.get_by_text("to continue to Demo web application")).to_be_visible()
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Give access to Demo web application?")).to_be_visible()
    assert await page.get_by_role("listitem").count() == 3
    await expect(page.get_by_text("Read your orders")).to_be_visible()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    (answer,) = application.received
    assert (answer["state"], answer["iss"]) == ("a state", visitor.issuer)
    tokens = await visitor.redeem(answer["code"], {"redirect_uri": application.callback})
    assert (await visitor.introspect(tokens.body["access_token"]))["sub"] == "alice"


async def test_a_denied_consent_comes_back_as_such(page: Page, visitor: Visitor, application: Application) -> None:
    await page.goto(address(visitor, application))
    await sign_in(page)
    await page.get_by_role("button", name="Deny").click()
    await expect(page).to_have_title("Home")
    assert [(answer["error"], "code" in answer) for answer in application.received] == [("access_denied", False)]


async def test_a_wrong_password_is_announced_and_can_be_put_right(
    page: Page, visitor: Visitor, application: Application
) -> None:
    await page.goto(address(visitor, application))
    await sign_in(page, "alice", "wrong")
    await expect(page).to_have_title("Error: Sign in")
    await expect(page.get_by_role("alert")).to_have_text("User name or password is wrong.")
    await expect(page.get_by_label("User name")).to_have_value("alice")
    await expect(page.get_by_label("Password")).to_be_focused()
    await expect(page.get_by_label("Password")).to_have_accessible_description("User name or password is wrong.")
    await page.get_by_label("Password").fill("alice")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    # Who goes back and forth is not asked to send a form again.
    await page.reload()
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()


async def test_the_device_flow_by_clicking_ends_in_a_token(page: Page, visitor: Visitor) -> None:
    told = await visitor.device()
    await page.goto(told["verification_uri"])
    await sign_in(page, "bob")
    await page.get_by_label("Code").fill("BCDF-GHJK")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("alert")).to_contain_text("This code is not known")
    await page.get_by_label("Code").fill(told["user_code"].lower())
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_text(told["user_code"])).to_be_visible()
    assert (await visitor.poll(told["device_code"])).body["error"] == "authorization_pending"
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="The device is connected")).to_be_visible()
    token = (await visitor.poll(told["device_code"])).body["access_token"]
    assert (await visitor.introspect(token))["sub"] == "bob"


async def test_a_device_can_be_denied(page: Page, visitor: Visitor) -> None:
    told = await visitor.device()
    await page.goto(told["verification_uri_complete"])
    await sign_in(page)
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("button", name="Deny").click()
    await expect(page).to_have_title("The device gets no access")
    assert (await visitor.poll(told["device_code"])).body["error"] == "access_denied"


async def test_another_account_can_be_chosen(page: Page, visitor: Visitor, application: Application) -> None:
    await page.goto(address(visitor, application))
    await sign_in(page)
    await page.get_by_role("button", name="Use another account").click()
    await sign_in(page, "bob")
    await expect(page.get_by_text("You are signed in as bob.")).to_be_visible()


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until a button of that name has the focus, and see that one can see it."""
    for _ in range(10):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if await focused.count() and await focused.inner_text() == name:
            assert await focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
            return
    raise AssertionError(f"no way to {name}")


async def test_both_flows_work_by_keyboard_alone(page: Page, visitor: Visitor, application: Application) -> None:
    await page.goto(address(visitor, application))
    await expect(page.get_by_label("User name")).to_be_focused()
    await page.keyboard.type("alice")
    await page.keyboard.press("Tab")
    await page.keyboard.type("alice")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await tab_to(page, "Approve")
    await page.keyboard.press("Enter")
    await expect(page).to_have_title("Home")
    assert "code" in application.received[0]

    told = await visitor.device()
    await page.goto(told["verification_uri"])
    await expect(page.get_by_label("Code")).to_be_focused()
    await page.keyboard.type(told["user_code"])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Deny")).to_be_visible()
    await tab_to(page, "Deny")
    await page.keyboard.press("Space")
    await expect(page).to_have_title("The device gets no access")


async def every_page(page: Page, visitor: Visitor, application: Application) -> AsyncIterator[str]:
    """Goes from page to page, and says which it is on."""
    await page.goto(address(visitor, application))
    yield "sign in"
    await sign_in(page, "alice", "wrong")
    await expect(page.get_by_role("alert")).to_be_visible()
    yield "wrong password"
    await sign_in(page)
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    yield "consent"
    told = await visitor.device()
    await page.goto(told["verification_uri_complete"])
    yield "device"
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    yield "consent for a device"
    await page.get_by_role("button", name="Approve").click()
    await expect(page).to_have_title("The device is connected")
    for path in ("/", "/grants", "/end-session"):
        await page.goto(f"{visitor.issuer}{path}")
        yield path


async def test_on_a_phone_nothing_is_wider_than_the_screen_and_everything_can_be_hit(
    page: Page, visitor: Visitor, application: Application
) -> None:
    await page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    seen = []
    async for name in every_page(page, visitor, application):
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        for control in await page.locator("button, input:not([type=hidden])").all():
            box = await control.bounding_box()
            assert box is not None
            # 44 pixels: WCAG 2.5.5. 16 pixels of text: below that a phone zooms in on its own.
            assert box["height"] >= 44, name
            assert box["x"] >= 0, name
            assert box["x"] + box["width"] <= PHONE["width"], name
        for field in await page.locator("input:not([type=hidden])").all():
            assert float(await field.evaluate("field => parseFloat(getComputedStyle(field).fontSize)")) >= 16, name
        seen.append(name)
    assert len(seen) == 8


async def test_every_page_has_a_language_a_title_one_heading_and_labels(
    page: Page, visitor: Visitor, application: Application
) -> None:
    async for name in every_page(page, visitor, application):
        assert await page.evaluate("document.documentElement.lang") == "en", name
        assert await page.title(), name
        assert await page.locator("h1").count() == 1, name
        assert await page.locator("main").count() == 1, name
        for field in await page.locator("input:not([type=hidden])").all():
            assert await field.evaluate("field => field.labels.length") == 1, name
        # The style sheet is there: the policy lets it.
        assert await page.evaluate("document.styleSheets[0].cssRules.length") > 10, name


async def test_no_page_shows_in_a_frame(
    context: BrowserContext, server: DevelopmentServer, visitor: Visitor, application: Application
) -> None:
    tab = await context.new_page()
    trap = f"http://localhost:{application.port}/framing?url="
    for url in (f"{server.issuer}/device", f"{server.issuer}/"):
        await tab.goto(trap + url)
        assert await tab.frame_locator("iframe").locator("main").count() == 0
        await tab.goto(url)
        await expect(tab.locator("main")).to_be_visible()
    # A page that lets itself be framed is seen there.
    await tab.goto(f"{trap}http://localhost:{application.port}/home")
    await expect(tab.frame_locator("iframe").get_by_role("heading", name="Welcome back")).to_be_visible()


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_in_light_and_dark(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", stylesheet(), re.DOTALL)
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[scheme]))
    pairs = [("ink", "paper"), ("quiet", "paper"), ("quiet", "ground"), ("accent", "paper"), ("accent-ink", "accent")]
    for text, ground in [*pairs, ("bad", "bad-ground"), ("bad", "paper")]:
        assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)


def test_whatever_is_put_into_a_template_is_text() -> None:
    shown = fill("scope", scope='"><script>', meaning="<b>&'")
    assert "<script>" not in shown
    assert "&lt;b&gt;&amp;&#x27;" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (60, "1 minute"),
        (3600, "1 hour"),
        (86400 * 30, "30 days"),
        (5400, "90 minutes"),
    ],
)
def test_a_duration_is_said_in_words(seconds: int, words: str) -> None:
    assert duration(seconds) == words
