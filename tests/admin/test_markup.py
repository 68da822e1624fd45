"""HTML element by element: text is text, wherever it stands."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.markup import Html, joined, tag


class Reader(HTMLParser):
    """The elements, the texts and the attributes' values of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.text = ""
        self.attributes: list[str | None] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(alphabet=st.characters(exclude_characters="\r\0", exclude_categories=("Cs",))))
def test_what_is_no_html_becomes_text_and_nothing_else(text: str) -> None:
    for page in (tag("p", text, title=text), tag("p", [text], title=text), tag("p", joined([text]), title=text)):
        read = Reader(page)
        assert (read.elements, read.text, read.attributes) == (["p"], text, [text])


def test_elements_are_kept_and_void_ones_have_no_end() -> None:
    made = tag("p", ["a<b", tag("br"), tag("b", "c")], class_="x", data_label='"')
    assert made == '<p class="x" data-label="&quot;">a&lt;b<br><b>c</b></p>'
    assert isinstance(made, Html)
    assert tag("meta", name="a", content="b") == '<meta name="a" content="b">'
