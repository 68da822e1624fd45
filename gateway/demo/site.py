"""The tour in the browser: a small web application on loopback, which is the OAuth client `demo-web` at the same time.

Server-rendered pages without scripts; a step is a form, and afterwards a page that can be loaded again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from aiohttp import web
from authlib.oauth2 import OAuth2Error

from gateway.demo.guide import Guide, guided
from gateway.demo.journey import Journey
from gateway.demo.pages import COUNTDOWN, Pages, address
from gateway.demo.seen import Answer
from gateway.demo.stories import STORIES
from gateway.demo.story import Story
from gateway.demo.view import TEMPLATES, fill
from gateway.demo.visitors import Visitor, Visitors
from gateway.demo.wire import Message
from gateway.demo.world import World
from gateway.devauth import answers, connections, forms
from gateway.devauth.middlewares import Handler, make

USUAL_PORT: Final = 8081
CALLBACK: Final = "/callback"
_LARGEST_BODY: Final = 4096
_LONGEST_WAIT: Final = 30.0
_SHUTDOWN_SECONDS: Final = 1.0


class Site:
    """The handlers. `cookie` is the name of ours: cookies know no ports, so other servers here get it too."""

    def __init__(self, guide: Guide, pages: Pages, configuration: Path, cookie: str) -> None:
        self._guide = guide
        self._pages = pages
        self._configuration = configuration
        self._cookie = cookie
        self._stories = {story.name: story for story in STORIES}
        self._visitors = Visitors()

    def routes(self) -> Sequence[web.RouteDef]:
        """Where requests go."""
        return [
            web.get("/", self._start),
            web.get("/style.css", self._style),
            web.get("/configuration", self._show_configuration),
            web.get(CALLBACK, self._take_answer, allow_head=False),
            web.get("/{story}", self._show_story),
            web.get(r"/{story}/{number:[1-9]\d?}", self._show_step, allow_head=False),
            web.post(r"/{story}/{number:[1-9]\d?}", self._take_step),
            web.post("/{story}/again", self._begin_again),
        ]

    # --- pages -------------------------------------------------------------------------------------------------

    async def _start(self, request: web.Request) -> web.Response:
        visitor = self._visitor(request)
        return self._remember(answers.as_page(self._pages.start(visitor.journeys if visitor else {})), visitor)

    async def _show_story(self, request: web.Request) -> web.Response:
        story = self._story(request)
        visitor = self._visitor(request) or self._visitors.begin()
        page = self._pages.story(self._journey(visitor, story), visitor.form_token)
        return self._remember(answers.as_page(page), visitor)

    async def _show_step(self, request: web.Request) -> web.StreamResponse:
        story, number = self._story(request), int(request.match_info["number"])
        visitor = self._visitor(request)
        journey = visitor.journeys.get(story.name) if visitor is not None else None
        if visitor is None or journey is None or number not in journey.outcomes:
            return answers.redirect(address(story, max(journey.outcomes, default=0) if journey else 0), request.method)
        page = self._pages.step(journey, number, visitor.form_token, now=self._guide.clock())
        if COUNTDOWN not in page:
            return answers.as_page(page)
        return await self._run_down(request, page, journey)

    async def _run_down(self, request: web.Request, page: str, journey: Journey) -> web.StreamResponse:
        """Send a page while a time runs down in it: the last number is the one that shows, then comes the rest."""
        head, _, tail = page.partition(COUNTDOWN)
        response = web.StreamResponse(headers=answers.page_fields())
        response.content_type, response.charset = "text/html", "utf-8"
        await response.prepare(request)
        await response.write(head.encode())
        until = journey.waits_until(journey.next_number)
        while (left := until - self._guide.clock()) > 0:
            await response.write(fill("tick", text=f"{math.ceil(left)} s").encode())
            await asyncio.sleep(min(left, left % 1.0 or 1.0))
        await response.write(fill("tick", text="0 s").encode() + tail.encode())
        await response.write_eof()
        return response

    async def _show_configuration(self, _: web.Request) -> web.Response:
        return answers.as_page(self._pages.configuration(self._configuration.read_text("utf-8")))

    async def _style(self, _: web.Request) -> web.Response:
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return web.Response(text=TEMPLATES.stylesheet(), content_type="text/css", charset="utf-8", headers=headers)

    # --- steps -------------------------------------------------------------------------------------------------

    async def _take_step(self, request: web.Request) -> web.Response:
        story, number = self._story(request), int(request.match_info["number"])
        visitor = await self._sender(request)
        if visitor is None:
            return self._forged()
        journey = self._journey(visitor, story)
        async with journey.lock:
            # Whoever presses twice, or goes back and presses again, sees what has come of it already.
            if number == journey.next_number and not _needs_answer(journey, number):
                await self._wait(journey.waits_until(number))
                await self._guide.play(journey, number)
        return answers.redirect(address(story, min(number, max(journey.outcomes, default=0))), request.method)

    async def _begin_again(self, request: web.Request) -> web.Response:
        story = self._story(request)
        visitor = await self._sender(request)
        if visitor is None:
            return self._forged()
        visitor.journeys[story.name] = self._guide.begin(story)
        return answers.redirect(address(story), request.method)

    async def _take_answer(self, request: web.Request) -> web.Response:
        """The authorization server has sent the browser back (RFC 6749 §4.1.2)."""
        query = request.rel_url.raw_query_string
        states = parse_qs(query).get("state", [])
        visitor = self._visitor(request)
        journey = visitor.waiting_for(states[0]) if visitor is not None and len(states) == 1 else None
        if journey is None:
            text = "It answers a question that this browser has not asked. Begin with the link once more."
            return answers.as_page(self._pages.message("This answer belongs to nobody here", text), 400)
        async with journey.lock:
            number = journey.next_number
            if number and _needs_answer(journey, number):
                await self._guide.play(journey, number, Answer(f"{CALLBACK}?{query}", _as_message(request)))
        # Away from the address that has the code in it: addresses stay in the history (RFC 9700 §4.2.4).
        return answers.redirect(address(journey.story, max(journey.outcomes, default=0)), request.method)

    async def _wait(self, until: float) -> None:
        await asyncio.sleep(min(max(0.0, until - self._guide.clock()), _LONGEST_WAIT))

    # --- visitors ----------------------------------------------------------------------------------------------

    def _story(self, request: web.Request) -> Story:
        story = self._stories.get(request.match_info["story"])
        if story is None:
            raise web.HTTPNotFound
        return story

    def _visitor(self, request: web.Request) -> Visitor | None:
        return self._visitors.find(request.cookies.get(self._cookie))

    def _journey(self, visitor: Visitor, story: Story) -> Journey:
        if story.name not in visitor.journeys:
            visitor.journeys[story.name] = self._guide.begin(story)
        return visitor.journeys[story.name]

    async def _sender(self, request: web.Request) -> Visitor | None:
        """Who has sent a form of ours; None for any other form."""
        visitor = self._visitor(request)
        try:
            form = await forms.once(request)
        except OAuth2Error:
            return None
        return visitor if visitor is not None and visitor.accepts(form.get("form_token", "")) else None

    def _forged(self) -> web.Response:
        text = "It was open since before the demo was started, or your browser keeps no cookies. Begin once more."
        return answers.as_page(self._pages.message("This button is not good any more", text), 403)

    def _remember(self, answer: web.Response, visitor: Visitor | None) -> web.Response:
        if visitor is not None:
            answer.set_cookie(self._cookie, visitor.id, httponly=True, samesite="Lax")
        return answer


@contextlib.asynccontextmanager
async def running(world: World, port: int | None = None) -> AsyncIterator[str]:
    """The tour at its address; without a port the usual one, or a free one. Raises OSError when the port is taken."""
    listener = _usual_or_free() if port is None else socket.create_server(("127.0.0.1", port))
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(listener.close)
        guide, _ = await stack.enter_async_context(guided(world, f"{origin}{CALLBACK}"))
        pages = Pages(STORIES, _places(world, origin), world.configuration)
        cookie = f"tour-{hashlib.sha256(origin.encode()).hexdigest()[:8]}"
        middlewares = [*make(pages, origin, is_local=True), _at(origin)]
        application = web.Application(client_max_size=_LARGEST_BODY, middlewares=middlewares)
        application.add_routes(Site(guide, pages, world.configuration, cookie).routes())
        connections.use(application)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, auto_decompress=False)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listener).start()
        yield f"{origin}/"


def _at(origin: str) -> Any:
    """A middleware that sends who comes by another name of this machine to ours: there their cookie will be."""

    @web.middleware
    async def at_one_name(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "GET" and request.host != origin.partition("://")[2]:
            return answers.redirect(f"{origin}{request.rel_url.raw_path_qs}", request.method)
        return await handler(request)

    return at_one_name


def _places(world: World, origin: str) -> dict[str, str]:
    return {
        "user": "alice (password alice), or bob (password bob)",
        "client": f"this tour, {origin}",
        "server": world.issuer,
        "gateway": world.origin,
    }


def _usual_or_free() -> socket.socket:
    with contextlib.suppress(OSError):
        return socket.create_server(("127.0.0.1", USUAL_PORT))
    return socket.create_server(("127.0.0.1", 0))


def _needs_answer(journey: Journey, number: int) -> bool:
    """Whether a step begins with what the browser brings from the authorization server."""
    visit = journey.step(number).visit
    return visit is not None and visit.brings_answer


def _as_message(request: web.Request) -> Message:
    """The request of a browser, without its cookies."""
    fields = tuple(
        (name, "(not shown)" if name.lower() == "cookie" else value) for name, value in request.headers.items()
    )
    return Message(f"{request.method} {request.raw_path} HTTP/1.1", fields)
