"""What a person is told: on standard error, and with nothing in it that a terminal obeys."""

from __future__ import annotations

import asyncio

import pytest

from gateway.cli.token.terminal import Teller, harmless, in_words, interruptible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 日本", "plain ä 日本"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\r\nb\t", r"a\r\nb\t"),
        ("\u202ecod.exe", r"\u202ecod.exe"),
        ("\x9b31m\x00", r"\x9b31m\x00"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_stranger_wrote_is_made_harmless(text: str, shown: str) -> None:
    assert harmless(text) == shown
    harmless(text).encode()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (89.9, "89 s"),
        (-5, "5 s"),
        (90, "1 min"),
        (5399, "89 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (172_799, "47 h 59 min"),
        (172_800, "2 d"),
        (10**12, "11574074 d"),
    ],
)
def test_a_span_of_time_is_told_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_details_are_for_whoever_asks_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    for is_verbose in (False, True):
        teller = Teller(is_verbose=is_verbose)
        teller.detail("detail\x1b")
        teller.say("said", "twice")
    assert capsys.readouterr() == ("", "said\ntwice\n- detail\\x1b\nsaid\ntwice\n")


async def test_where_nobody_looks_a_countdown_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with Teller().countdown("waiting", 300):
        await asyncio.sleep(0)
    assert capsys.readouterr() == ("", "waiting, at most 5 min\n")


async def test_at_a_terminal_a_countdown_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    teller = Teller(is_terminal=True)
    async with teller.countdown("waiting", 125, clock=lambda: now[0]):
        await asyncio.sleep(0.05)
        now[0] += 61
        teller.say("something happened")
    # Where it is no terminal after all, click leaves out what clears the rest of the line.
    assert capsys.readouterr().err.replace("\x1b[K", "") == "\rwaiting: 2:05 left \nsomething happened\n"


def test_an_interruption_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    for problem in (KeyboardInterrupt, asyncio.CancelledError):
        with pytest.raises(SystemExit) as ended, interruptible():
            raise problem
        assert ended.value.code == 130
    assert capsys.readouterr().out == ""
