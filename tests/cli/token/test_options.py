"""Secrets and tokens from wherever they are said to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.token.exit_status import WrongOption
from gateway.cli.token.options import ClientOptions, Secret, need_client, token_argument

CLIENT = ClientOptions(
    issuer="https://as.example",
    client_id="app",
    scopes=frozenset(),
    secret=None,
    client_auth=None,
    client_key=None,
    client_key_id=None,
    metadata=None,
    ca=None,
    certificate=None,
    certificate_key=None,
    allow_http=False,
    timeout=10,
    is_verbose=False,
)


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b" s \n\n", " s \n"),
        ("ä".encode(), "ä"),
    ],
)
def test_a_secret_of_a_file_is_all_of_it_but_the_line_end(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert Secret(f"@{tmp_path}/secret", "client secret").read() == secret


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"\xff", "not UTF-8"), (b"\n", "holds no")])
def test_a_file_without_a_secret_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(WrongOption, match=words) as refused:
        Secret(f"@{tmp_path}/secret", "client secret").read()
    assert str(tmp_path) in str(refused.value)


def test_a_secret_that_is_meant_literally_is_never_a_file() -> None:
    for text in ("@/etc/passwd", "-", "plain"):
        assert Secret(text, "client secret", is_literal=True).read() == text
        assert not Secret(text, "client secret", is_literal=True).uses_stdin
    assert Secret("plain", "client secret").read() == "plain"
    assert "plain" not in repr(Secret("plain", "client secret"))


@pytest.mark.parametrize(
    "pasted",
    [
        "AT.x-y_z~+/=",
        " AT.x-y_z~+/=\n",
        '"AT.x-y_z~+/="',
        "Bearer AT.x-y_z~+/=",
        "bearer  AT.x-y_z~+/=",
        "Authorization: Bearer AT.x-y_z~+/=",
        "authorization:DPoP AT.x-y_z~+/=\r\n",
    ],
)
def test_a_token_is_taken_as_people_paste_it(tmp_path: Path, pasted: str) -> None:
    assert token_argument(pasted, CLIENT) == "AT.x-y_z~+/="
    (tmp_path / "token").write_text(pasted)
    assert token_argument(f"@{tmp_path}/token", CLIENT) == "AT.x-y_z~+/="


@pytest.mark.parametrize("text", ["", " ", "a b", "a\nb", "ä", "\x1b[2J", "Bearer a b", "''"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(WrongOption):
        token_argument(text, CLIENT)


def test_standard_input_holds_one_thing() -> None:
    with pytest.raises(WrongOption, match="only one"):
        token_argument("-", replace(CLIENT, secret=Secret("-", "client secret")))


def test_issuer_and_client_have_to_be_named() -> None:
    need_client(CLIENT)
    for missing in ({"issuer": ""}, {"client_id": ""}):
        with pytest.raises(WrongOption, match="is missing; the environment variable OAUTH_GATEWAY_"):
            need_client(replace(CLIENT, **missing))
