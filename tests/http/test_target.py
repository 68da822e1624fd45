"""The one path: what has one form gets it, and what could be read in two ways is refused."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.http.target import Target, normalise


def reason(target: str, method: str = "GET") -> str | None:
    try:
        normalise(target, method)
    except GatewayError as error:
        return error.reason.name
    return None


@pytest.mark.parametrize(
    ("sent", "path", "query"),
    [
        ("/", "/", None),
        ("/a/b", "/a/b", None),
        ("/a/", "/a/", None),
        ("/%61%2D%7e", "/a-~", None),
        ("/%c3%a9", "/%C3%A9", None),
        ("/a%20b", "/a%20b", None),
        ("/%25", "/%25", None),
        ("/100%25-sure", "/100%25-sure", None),
        ("/a%3ab:@!$&'()*+,=", "/a%3Ab:@!$&'()*+,=", None),
        ("/.well-known/x", "/.well-known/x", None),
        ("/...", "/...", None),
        ("/a..b/..c", "/a..b/..c", None),
        ("/a?", "/a", ""),
        ("/a?x=%2f&y=../..//;#"[:-1], "/a", "x=%2f&y=../..//;"),
        ("/a??", "/a", "?"),
    ],
)
def test_a_path_with_one_form_gets_it_and_the_query_stays(sent: str, path: str, query: str | None) -> None:
    assert normalise(sent, "GET") == Target(path, query)


@pytest.mark.parametrize(
    "path",
    ["/..", "/.", "/a/..", "/a/../b", "/./a", "/%2e%2e/a", "/a/%2E", "/.%2e/", "/a/..;/b", "/a/..%3bx/b", "/a%2f..%2fb"]
    + [
        "/a%2F.",
        "/..%2Fa",
        "//",
        "//a",
        "/a//b",
        "/a//",
        "/a\\b",
        "/a%5Cb",
        "/a%5cb",
        "/%00",
        "/%1f",
        "/%7F",
        "/a%0d%0a",
    ]
    + [
        "/%",
        "/%a",
        "/%zz",
        "/a%2",
        "/%%32%65",
        "/%252e",
        "/%2541",
        "/%25%34%31",
        "/%ff",
        "/%c3",
        "/%ed%a0%80",
        "/%c0%af",
    ]
    + ["/a#b", "/#", "/a?#", "/a?x#y", "/a b", "/a\tb", "/\x00", "/\x7f", "/é", "/a?é", "/a?\x01", "/a?x y"]
    + [f"/a{character}b" for character in '"<>^`{|}[]'],
)
def test_what_two_readers_could_take_differently_is_refused(path: str) -> None:
    assert reason(path) == "path_ambiguous"


@pytest.mark.parametrize(
    ("path", "slash", "semicolon"), [("/a%2fb", True, False), ("/a;b", False, True), ("/a%3Bb%2F", True, True)]
)
def test_encoded_slashes_and_semicolons_are_told_for_the_route_to_decide(
    path: str, slash: bool, semicolon: bool
) -> None:
    target = normalise(path, "GET")
    assert (target.has_encoded_slash, target.has_semicolon) == (slash, semicolon)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("http://a.example/x?y", Target("/x", "y", "a.example")),
        ("HTTPS://a.example:8443/x", Target("/x", None, "a.example:8443")),
        ("http://a.example", Target("/", None, "a.example")),
        ("http://a.example?x", Target("/", "x", "a.example")),
    ],
)
def test_an_absolute_target_gives_its_authority_and_its_path(sent: str, expected: Target) -> None:
    assert normalise(sent, "GET") == expected


@pytest.mark.parametrize("sent", ["ftp://a/x", "a.example/x", "x", "", "*", "http:/x", "//", "http//a", "?x"])
def test_a_target_of_another_form_is_refused(sent: str) -> None:
    assert reason(sent) in ("request_invalid", "path_ambiguous")


@pytest.mark.parametrize(
    "sent", ["http://a#b", "http://a/#", "http://u@a#/x", "http://\xe9/x", "http://a\x7f/x", "http://a/x\n", "h\x00"]
)
def test_a_fragment_or_an_illegal_byte_anywhere_in_the_target_is_ambiguous(sent: str) -> None:
    assert reason(sent) == "path_ambiguous"


@given(st.text(st.characters(max_codepoint=255), max_size=20) | st.text("hHtTpP:/?#@[]*%2eF;.a ", max_size=20))
def test_any_target_has_one_form_or_is_refused(sent: str) -> None:
    for method in ("GET", "OPTIONS"):
        assert reason(sent, method) in (None, "path_ambiguous", "request_invalid")


def test_the_asterisk_is_for_options_alone() -> None:
    assert normalise("*", "OPTIONS").path == "*"
    assert reason("*", "GET") == "request_invalid"


PIECES = [
    "/",
    ".",
    "..",
    ";",
    "\\",
    "#",
    "?",
    "%",
    "%2F",
    "%2f",
    "%25",
    "%2e",
    "%5C",
    "%3B",
    "%00",
    "%41",
    "%7e",
    "%c3%a9",
]
PIECES += ["%ff", "%25%34%31", "a", "B", "~", " ", "é", "\x01", "[", "%2", "%zz", "x=y", "&", "//"]
paths = st.lists(st.sampled_from(PIECES) | st.characters(max_codepoint=255), max_size=8).map(
    lambda parts: "/" + "".join(parts)
)


@settings(max_examples=400, deadline=None)
@given(paths)
@example("/%25%32%65")
def test_normalising_twice_changes_nothing(sent: str) -> None:
    if reason(sent) is None:
        once = normalise(sent, "GET")
        again = normalise(once.path if once.query is None else f"{once.path}?{once.query}", "GET")
        assert again == once


@settings(max_examples=400, deadline=None)
@given(paths)
def test_the_one_form_means_what_was_sent_and_leads_nowhere_else(sent: str) -> None:
    """Decoded, it is the same; read leniently, it has no dot segment, no empty one and no second reading."""
    if reason(sent) is not None:
        return
    path, _, query = sent.partition("?")
    target = normalise(sent, "GET")
    assert unquote_to_bytes(target.path) == unquote_to_bytes(path)
    assert (target.query or "") == query
    decoded = unquote_to_bytes(target.path).decode("utf-8")
    assert unquote_to_bytes(decoded) == decoded.encode() or "%" not in decoded or "%25" in target.path
    lenient = decoded.replace("\\", "/").split(";")
    for part in lenient:
        assert not {".", ".."} & set(part.split("/"))
    assert "//" not in target.path
    assert all(0x21 <= ord(character) <= 0x7E for character in target.path)


def refused_by_the_words_of_the_contract(sent: str) -> bool:
    """A second reading of the contract, slow and plain, to hold the first against."""
    path = sent.partition("?")[0]
    if any(not 0x21 <= ord(character) <= 0x7E or character == "#" for character in sent):
        return True
    if any(character in '\\"<>^`{|}[]' for character in path):
        return True
    form, index = "", 0
    while index < len(path):
        if path[index] != "%":
            form += path[index]
            index += 1
            continue
        digits = path[index + 1 : index + 3]
        if len(digits) != 2 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            return True
        byte = int(digits, 16)
        if byte < 0x20 or byte in (0x7F, 0x5C):
            return True
        form += (
            chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "-._~") else f"%{digits.upper()}"
        )
        index += 3
    pairs = {f"%25{a}{b}" for a in "0123456789abcdefABCDEF" for b in "0123456789abcdefABCDEF"}
    if any(pair in form for pair in pairs):
        return True
    try:
        unquote_to_bytes(form).decode("utf-8")
    except UnicodeDecodeError:
        return True
    split = form.replace("%2F", "/").replace("%3B", "/").replace(";", "/").split("/")
    return "." in split or ".." in split or "//" in form


@settings(max_examples=500, deadline=None)
@given(paths)
def test_the_same_is_refused_as_by_a_second_reading_of_the_contract(sent: str) -> None:
    assert (reason(sent) is not None) == refused_by_the_words_of_the_contract(sent)
