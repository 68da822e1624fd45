"""Templates of a package: what is put in is text, unless it came out of a template."""

from __future__ import annotations

import pytest

from gateway.devauth.markup import Html, Templates

TEMPLATES = Templates("gateway.devauth")


def test_a_value_is_escaped_and_html_is_not() -> None:
    inner = TEMPLATES.fill("hint", text="<b>&\"'")
    assert inner == '<p class="quiet">&lt;b&gt;&amp;&quot;&#x27;</p>'
    assert isinstance(inner, Html)
    assert inner in TEMPLATES.fill("message", title="a", text="b", code=inner, back=Html(""))


def test_a_value_that_is_missing_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(KeyError):
        TEMPLATES.fill("hint")


def test_the_style_sheet_is_that_of_the_package() -> None:
    assert ":focus-visible" in TEMPLATES.stylesheet()
