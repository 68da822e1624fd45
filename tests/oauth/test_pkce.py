"""Verifiers and challenges."""

from __future__ import annotations

import re

from gateway.oauth import pkce


def test_the_example_of_the_rfc_comes_out() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 Appendix B
    assert pkce.challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    octets = bytes.fromhex("7418dfb49799e0254ffa607dd8adbbba16d4254d69d6bff05b58055853848d79")
    assert pkce.new_verifier(lambda count: octets[:count]) == verifier


def test_each_verifier_is_new_and_of_the_right_form() -> None:
    verifiers = {pkce.new_verifier() for _ in range(1000)}
    assert len(verifiers) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)
