"""TLS contexts from files that change: what is used, when, and what is kept."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.http.tls import ClientContext, FileContext, ServerContext
from tests.certificates import Authority, Pair

AUTHORITY, OTHER = Authority("one"), Authority("other")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def listener(folder: Path, clock: Callable[[], float] = time.monotonic, **rules: Any) -> ServerContext:
    return ServerContext(str(folder / "tls.crt"), str(folder / "tls.key"), clock=clock, **rules)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "orders.example") -> ssl.SSLObject:
    """Both sides of a handshake in memory, up to the first message after it. Raises ssl.SSLError of either side."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname=name)
    theirs = server.wrap_bio(there, back, server_side=True)
    for _ in range(5):
        for side in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    theirs.write(b"x")
    assert ours.read(1) == b"x"
    return ours


def serial(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    certificate = shake_hands(server, client).getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def test_changed_files_are_used_after_the_next_look(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, client = Clock(), AUTHORITY.client()
    context = listener(AUTHORITY.sign("orders.example").write(tmp_path), clock)
    first = serial(context(), client)
    AUTHORITY.sign("orders.example").write(tmp_path)
    clock.now += 4.9
    assert serial(context(), client) == first
    clock.now += 0.2
    assert serial(context(), client) != first
    assert "TLS files have changed and are in use" in caplog.text


def test_files_that_did_not_change_are_not_read_again(tmp_path: Path) -> None:
    clock = Clock()
    context = listener(AUTHORITY.sign("orders.example").write(tmp_path), clock)
    first = context()
    for _ in range(5):
        clock.now += 60
        assert context() is first


def half_written(folder: Path) -> None:
    whole = (folder / "tls.crt").read_bytes()
    (folder / "tls.crt").write_bytes(whole[: len(whole) // 2])


def key_of_another(folder: Path) -> None:
    (folder / "tls.key").write_bytes(AUTHORITY.sign("orders.example").private_key)


@pytest.mark.parametrize(
    "damage",
    [half_written, key_of_another, lambda folder: (folder / "tls.crt").unlink()],
    ids=["half", "another key", "gone"],
)
def test_a_broken_file_keeps_the_old_one_and_is_told_of_once(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    clock, client = Clock(), AUTHORITY.client()
    context = listener(AUTHORITY.sign("orders.example").write(tmp_path), clock)
    first = serial(context(), client)
    damage(tmp_path)
    for _ in range(3):
        clock.now += 6
        assert serial(context(), client) == first
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "the last ones go on" in warnings[0].getMessage()
    assert str(tmp_path / "tls.crt") in warnings[0].getMessage()
    AUTHORITY.sign("orders.example").write(tmp_path)
    clock.now += 6
    assert serial(context(), client) != first


def projected(folder: Path, version: str, pair: Pair) -> None:
    """What the kubelet does for a mounted Secret: a new folder, then one swap of the link `..data`."""
    pair.write(folder / version)
    (folder / "..data_tmp").symlink_to(version)
    os.replace(folder / "..data_tmp", folder / "..data")  # noqa: PTH105 - as the kubelet renames
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def test_the_swap_of_a_mounted_secret_is_seen(tmp_path: Path) -> None:
    clock, client = Clock(), AUTHORITY.client()
    projected(tmp_path, "..2026_01", AUTHORITY.sign("orders.example"))
    context = listener(tmp_path, clock)
    first = serial(context(), client)
    projected(tmp_path, "..2026_02", AUTHORITY.sign("orders.example"))
    clock.now += 6
    assert serial(context(), client) != first


def test_both_sides_speak_http_1_1_over_tls_1_2_or_later(tmp_path: Path) -> None:
    server, client = listener(AUTHORITY.sign("orders.example").write(tmp_path))(), ClientContext()()
    for context in (server, client):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    modern = AUTHORITY.client()
    modern.set_alpn_protocols(["h2", "http/1.1"])
    assert shake_hands(server, modern).selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(("asks", "shows", "works"), [
    ("none", None, True),
    ("optional", None, True),
    ("optional", "good", True),
    ("optional", "foreign", False),
    ("required", None, False),
    ("required", "good", True),
    ("required", "foreign", False),
    ("required", "expired", False),
])  # fmt: skip
def test_client_certificates_are_asked_for_as_configured(
    tmp_path: Path, asks: str, shows: str | None, works: bool
) -> None:
    AUTHORITY.sign("c").write(tmp_path / "good")
    OTHER.sign("c").write(tmp_path / "foreign")
    AUTHORITY.sign("c", until=-datetime.timedelta(minutes=1)).write(tmp_path / "expired")
    AUTHORITY.write(tmp_path / "ca.crt")
    rules: dict[str, Any] = {}
    if asks != "none":
        rules = {"client_ca": str(tmp_path / "ca.crt"), "client_certificate": asks}
    server = listener(OTHER.sign("orders.example").write(tmp_path), **rules)()
    client = OTHER.client(tmp_path / shows if shows is not None else None)
    if works:
        shake_hands(server, client)
    else:
        with pytest.raises(ssl.SSLError):
            shake_hands(server, client)


def test_a_ca_that_is_trusted_no_more_is_not_trusted_in_a_resumed_session_either(tmp_path: Path) -> None:
    AUTHORITY.write(tmp_path / "ca.crt")
    rules: dict[str, Any] = {"client_ca": str(tmp_path / "ca.crt"), "client_certificate": "required"}
    clock = Clock()
    context = listener(OTHER.sign("orders.example").write(tmp_path), clock, **rules)
    client = OTHER.client(AUTHORITY.sign("c").write(tmp_path / "client"))
    session = shake_hands(context(), client).session
    assert session is None or not session.has_ticket
    Authority("new").write(tmp_path / "ca.crt")
    clock.now += 6
    with pytest.raises(ssl.SSLError):
        shake_hands(context(), client)


@pytest.mark.parametrize("verify", [True, False])
def test_only_with_verify_off_anybody_is_the_server(tmp_path: Path, verify: bool) -> None:
    AUTHORITY.write(tmp_path / "ca.crt")
    client = ClientContext(ca=str(tmp_path / "ca.crt"), verify=verify)()
    server = listener(OTHER.sign("other.example").write(tmp_path))()
    if verify:
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(server, client)
    else:
        shake_hands(server, client)


def test_a_client_follows_its_ca_and_its_certificate(tmp_path: Path) -> None:
    clock = Clock()
    ours = AUTHORITY.sign("gateway").write(tmp_path / "ours")
    context: FileContext = ClientContext(
        ca=str(AUTHORITY.write(tmp_path / "ca.crt")),
        certificate=str(ours / "tls.crt"),
        private_key=str(ours / "tls.key"),
        clock=clock,
    )
    server = AUTHORITY.server(tmp_path / "one", "orders.example", client_ca=AUTHORITY)
    renewed = OTHER.server(tmp_path / "other", "orders.example", client_ca=OTHER)
    shake_hands(server, context())
    with pytest.raises(ssl.SSLError):
        shake_hands(renewed, context())
    OTHER.write(tmp_path / "ca.crt")
    OTHER.sign("gateway").write(ours)
    clock.now += 6
    shake_hands(renewed, context())
    with pytest.raises(ssl.SSLError):
        shake_hands(server, context())


def test_an_encrypted_key_is_an_error_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    folder = AUTHORITY.sign("orders.example").write(tmp_path)
    encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    (folder / "tls.key").write_bytes(encrypted)
    with pytest.raises(OSError, match=r"."):
        listener(folder)
