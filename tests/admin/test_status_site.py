"""`/status` and `/status.json` over real connections: types, fields, and that nothing else is answered."""

from __future__ import annotations

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from gateway.admin.listener import make_admin_app
from tests.admin.statuses import document
from tests.admin.test_listener import Admin, Health, health, keys, no_figures

__all__ = ["health", "keys"]

DOCUMENT = document()


@pytest.fixture
async def admin(aiohttp_client: AiohttpClient, health: Health) -> Admin:
    async def read() -> dict[str, object]:
        return DOCUMENT

    return await aiohttp_client(make_admin_app(health, no_figures, overview=read))


async def test_programs_get_the_document(admin: Admin) -> None:
    async with admin.get("/status.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.json() == DOCUMENT


async def test_people_get_a_page_that_may_load_nothing_and_is_kept_nowhere(admin: Admin) -> None:
    async with admin.get("/status") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert (await response.text()).startswith('<!doctype html>\n<html lang="en">')


@pytest.mark.parametrize("path", ["/status", "/status.json"])
async def test_only_get_and_head_are_answered(admin: Admin, path: str) -> None:
    async with admin.head(path) as response:
        assert (response.status, await response.read()) == (200, b"")
    async with admin.post(path) as response:
        assert response.status == 405


async def test_what_is_beside_it_is_not_there(admin: Admin) -> None:
    for path in ("/status/", "/status.html", "/status.json/x"):
        async with admin.get(path) as response:
            assert response.status == 404
