"""How long, and with how much, somebody who has had an answer may go on sending."""

from __future__ import annotations

from gateway.http.lingering import SIZE, Lingering


def test_a_client_may_send_so_many_bytes_and_no_more() -> None:
    lingering = Lingering()
    assert not lingering.drop(SIZE - 1)
    assert not lingering.drop(1)
    assert lingering.drop(1)


def test_it_takes_a_moment_and_longer_only_while_the_answer_is_on_its_way() -> None:
    lingering = Lingering()
    assert not lingering.is_too_long(1000.0, is_sent=True, patience=0)
    lingering.since = 1000.0
    assert not lingering.is_too_long(1002.0, is_sent=True, patience=30)
    assert lingering.is_too_long(1002.1, is_sent=True, patience=30)
    assert not lingering.is_too_long(1030.0, is_sent=False, patience=30)
    assert lingering.is_too_long(1030.1, is_sent=False, patience=30)
