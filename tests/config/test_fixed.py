"""What a running gateway keeps whatever its file says, and what it then can't take."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import Config, ConfigError, parse
from gateway.config.fixed import kept

TLS = {"certificate": "/a.crt", "private_key": "/a.key"}


def config(**changes: Any) -> Config:
    return parse({"routes": [{"path": "/", "public": True, "respond": {}}], **changes})


@pytest.mark.parametrize(
    ("running", "new", "key"),
    [
        ({"listen": "127.0.0.1:1"}, {"listen": "127.0.0.1:2"}, "listen"),
        ({"workers": 1}, {"workers": "auto"}, "workers"),
        ({}, {"redis": {"url": "redis://a"}}, "redis"),
        ({"redis": {"url": "redis://a"}}, {"redis": {"url": "redis://a", "required": True}}, "redis"),
        ({}, {"admin": {"listen": "127.0.0.1:2"}}, "admin.listen"),
        ({}, {"tls": TLS}, "tls"),
        ({"tls": TLS}, {}, "tls"),
    ],
    ids=str,
)
def test_what_is_fixed_stays_and_is_named(running: dict[str, Any], new: dict[str, Any], key: str) -> None:
    before, after = config(**running), config(**new, log={"level": "debug"}, external_url="https://a.example")
    joined, needs_restart = kept(after, before)
    assert needs_restart == (key,)
    for name in ("listen", "workers", "redis", "tls"):
        assert getattr(joined, name) == getattr(before, name)
    assert joined.admin.listen == before.admin.listen
    assert (joined.log.level, joined.external_url) == ("debug", "https://a.example")
    assert joined.places is after.places


def test_all_else_is_taken() -> None:
    before = config(tls=TLS)
    after = config(tls={**TLS, "certificate": "/b.crt"}, admin={"token": "x"}, limits={"connections": 5})
    assert kept(after, before) == (after, ())


def test_what_does_not_go_together_with_what_stays_is_refused() -> None:
    issuer = {"issuer": "https://a.example", "audience": "a", "keys": {"store": "redis"}}
    redis = {"url": "redis://a", "secret": "x" * 32}
    with pytest.raises(ConfigError, match=r"issuers\.a\.keys\.store: .*; a restart is needed for redis"):
        kept(config(redis=redis, issuers={"a": issuer}), config())
