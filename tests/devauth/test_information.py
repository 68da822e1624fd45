"""The pages that explain."""

from __future__ import annotations

import re

from tests.devauth.visitor import SECRETS, Visitor


async def test_the_first_page_says_whom_the_server_knows_and_no_secret(visitor: Visitor) -> None:
    page = await visitor.get("/")
    for text in (visitor.issuer, "demo-web", "demo-service", "demo-device", "demo-opaque", "alice, bob"):
        assert text in page.text
    for secret in SECRETS.values():
        assert secret not in page.text


async def test_a_page_says_why_there_is_no_implicit_and_no_password_grant(visitor: Visitor) -> None:
    page = await visitor.get("/grants")
    assert page.title == "Grants that are gone"
    for text in ("response_type=token", "grant_type=password", "RFC 9700", "PKCE", "RFC 8628"):
        assert text in page.text


async def test_every_link_of_these_pages_leads_somewhere(visitor: Visitor) -> None:
    for path in ("/", "/grants"):
        for link in re.findall('href="(/[^"]*)"', (await visitor.get(path)).text):
            assert (await visitor.get(link)).status == 200, link


async def test_the_style_sheet_loads_nothing_from_elsewhere(visitor: Visitor) -> None:
    page = await visitor.get("/style.css")
    assert page.fields["Content-Type"].startswith("text/css")
    assert "url(" not in page.text
    assert "@import" not in page.text
