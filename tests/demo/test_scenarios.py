"""Lines to paste."""

from __future__ import annotations

from gateway.demo.scenarios import Scenario, curl_for_a_token


def test_a_line_has_the_method_and_the_token_where_there_are_any() -> None:
    read = Scenario("reading", "GET", "/orders/acme", None, 200)
    assert read.curl("http://h") == "curl -i http://h/orders/acme"
    write = Scenario("writing", "POST", "/orders/acme", "WRITER", 201)
    assert write.curl("http://h") == (
        'curl -i -X POST -d hammer -H "Authorization: Bearer $WRITER" http://h/orders/acme'
    )


def test_a_token_is_to_be_had_with_the_secret_of_the_service() -> None:
    line = curl_for_a_token("http://issuer")
    assert " -u demo-service:demo-service-secret " in line
    assert line.endswith(" http://issuer/token")
