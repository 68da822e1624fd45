"""What goes wrong at an authorization server, in words: what happened, what to do, and the exit status."""

from __future__ import annotations

from typing import Any

import click
import pytest

from gateway.cli.token.exit_status import Failure, IssuerTrouble, Refused, Unfinished, WrongOption
from gateway.cli.token.failures import told
from gateway.oauth.authorization_code import MixUp
from gateway.oauth.authorization_server import AuthorizationServer, EndpointMissing
from gateway.oauth.client import IssuerFailure
from gateway.oauth.discovery import Metadata, OtherIssuer
from gateway.oauth.error_response import OAuthError

ISSUER = "https://as.example"


def server(**members: Any) -> AuthorizationServer:
    return AuthorizationServer(ISSUER, Metadata(f"{ISSUER}/x", members=members))


def failed(problem: Exception, known: AuthorizationServer | None = None) -> Failure:
    with pytest.raises(Failure) as caught, told("doing", ISSUER, known):
        raise problem
    return caught.value


@pytest.mark.parametrize(
    ("problem", "message", "advice"),
    [
        (IssuerFailure("unreachable", "ClientConnectorDNSError"), "its host name is unknown", "does it run"),
        (IssuerFailure("unreachable", "ClientConnectorCertificateError"), "certificate is not trusted", "--ca FILE"),
        (IssuerFailure("unreachable", "ClientConnectorSSLError"), "TLS fails", "does it run"),
        (IssuerFailure("unreachable", "ServerDisconnectedError"), "without an answer", "does it run"),
        (IssuerFailure("unreachable", "ClientConnectorError"), "nothing answers there", "does it run"),
        (IssuerFailure("unreachable", "SomethingElse"), "(SomethingElse)", "does it run"),
        (IssuerFailure("timeout", "no answer in 10 s"), f"{ISSUER} gives no answer in 10 s", "--timeout"),
        (IssuerFailure("address", "an address that is not https"), "not https", "--allow-http"),
        (IssuerFailure("status", "status 301"), "answers with status 301", "redirects are not followed"),
        (IssuerFailure("status", "status 429"), "answers with status 429", "try again later"),
        (IssuerFailure("status", "status 500"), "answers with status 500", "try again later"),
        (IssuerFailure("status", "status 404"), "answers with status 404", "--metadata URL"),
        (IssuerFailure("pkce", "no S256"), "no S256", "RFC 7636"),
        (IssuerFailure("token_type", "no Bearer"), "no Bearer", "bearer tokens alone"),
        (MixUp("iss is another's"), "iss is another's", "nothing was sent"),
        (OtherIssuer("https://as.example/"), "is that of https://as.example/", "slash at the end"),
        (OtherIssuer(None), "is that of nobody", "slash at the end"),
        (IssuerFailure("malformed", "not JSON"), "doing: not JSON", ""),
    ],
)
def test_a_failing_issuer_is_told_with_what_to_do(problem: Exception, message: str, advice: str) -> None:
    failure = failed(problem)
    assert isinstance(failure, IssuerTrouble)
    assert message in failure.message
    assert advice in " ".join(failure.advice)


def test_what_is_missing_at_an_endpoint_is_no_missing_metadata() -> None:
    assert failed(IssuerFailure("status", "status 404"), server()).advice == ()


@pytest.mark.parametrize(
    "name",
    ["token_endpoint", "authorization_endpoint", "device_authorization_endpoint", "revocation_endpoint", "x_endpoint"],
)
def test_an_endpoint_that_is_not_there_is_named(name: str) -> None:
    assert name in failed(EndpointMissing(name)).message


def test_a_refusal_has_the_issuers_words_and_what_its_metadata_lists() -> None:
    known = server(scopes_supported=["a", "b"], grant_types_supported=[])
    refused = failed(OAuthError("invalid_scope", "no c"), known)
    assert isinstance(refused, Refused)
    assert refused.message == "doing: the issuer answers invalid_scope (no c)"
    assert refused.advice[1] == "it lists: a b"
    assert failed(OAuthError("unsupported_grant_type"), known).advice[1:] == ()
    assert failed(OAuthError("of_its_own")).advice == ()


def test_each_end_has_a_status_of_its_own() -> None:
    for code in ("access_denied", "expired_token"):
        assert isinstance(failed(OAuthError(code)), Unfinished)
    codes = [kind("x").exit_code for kind in (Refused, WrongOption, IssuerTrouble, Unfinished)]
    assert codes == [1, 2, 3, 4]
    assert issubclass(Failure, click.ClickException)


def test_a_failure_is_shown_on_standard_error_and_made_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    Refused("bad\x1b[2J", "do\nthis").show()
    assert capsys.readouterr() == ("", "error: bad\\x1b[2J\n  do\\nthis\n")


def test_a_defect_is_not_taken_for_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), told("doing", ISSUER):
        raise ZeroDivisionError
