"""What operators are shown of a configuration, and that no secret of it is."""

from __future__ import annotations

from gateway import build
from gateway.config import load
from tests.documents import ROOT


def test_the_full_example_is_shown_without_a_secret_or_a_file() -> None:
    seen = build.installation(load(ROOT / "config/full.yaml", {}))
    assert [(issuer.name, issuer.keys, issuer.refresh) for issuer in seen.issuers] == [
        ("corp", "discovery", 600.0),
        ("partner", "jwks_uri", 600.0),
        ("inline", "inline", None),
        ("opaque", "none", None),
        ("tests", "secret", None),
    ]
    assert [(upstream.name, len(upstream.endpoints), upstream.probed) for upstream in seen.upstreams] == [
        ("orders", 1, False),
        ("billing", 3, True),
        ("payments", 1, False),
    ]
    read, payments, hello = seen.routes
    assert (read.access, read.scopes, read.hosts) == (
        "required",
        ("orders:read", "internal", "partner"),
        ("api.example.com", "*.api.example.com"),
    )
    assert (payments.upstream, payments.paths, payments.methods) == ("payments", ("/api/payments/**",), ())
    assert (hello.access, hello.upstream, hello.scopes) == ("public", None, ())
    for secret in ("has to be replaced", "/var/lib", "redis://", "client_secret"):
        assert secret not in repr(seen)
