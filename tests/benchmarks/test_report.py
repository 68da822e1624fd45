"""What is printed and drawn is what was measured; what was not has its reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks import chart, document, report
from benchmarks.comparison import Outcomes, Ratios, Result
from benchmarks.machine import Cores, circumstances
from benchmarks.peers import chosen_peers, chosen_scenarios
from benchmarks.promises import Evidence, judged
from benchmarks.rounds import Absent
from benchmarks.scenarios import SCENARIOS

ONE = Result(microseconds=30, per_second=33_000, p50=0.9, p99=1.5, memory=50, busy=0.99, growth=0)
PEERS = chosen_peers(["nginx", "haproxy", "gateway"], Path("oauth-gateway"))


def outcomes(**of_gateway: Result) -> Outcomes:
    """nginx takes 20 µs for everything that it does, HAProxy is missing."""
    nginx = {"one-token": dataclasses.replace(ONE, microseconds=20.0)}
    return {
        key.replace("_", "-"): {
            "nginx": nginx.get(key.replace("_", "-"), Absent("checks no token")),
            "haproxy": Absent("not installed"),
            "gateway": result,
        }
        for key, result in of_gateway.items()
    }


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_the_table_at_a_glance_has_a_row_for_each_scenario_and_a_dash_for_what_is_missing() -> None:
    text = report.at_a_glance(chosen_scenarios(["one-token", "no-token"]), PEERS, outcomes(one_token=ONE, no_token=ONE))
    assert cells(text)[0][1:] == ["nginx, no check", "HAProxy, jwt_verify", "oauth-gateway"]
    assert cells(text)[2:] == [["one token", "20.0", "-", "30.0"], ["no token", "-", "-", "30.0"]]


def test_every_dash_has_its_reason() -> None:
    text = report.reasons(chosen_scenarios(["one-token", "no-token"]), PEERS, outcomes(one_token=ONE, no_token=ONE))
    assert text.splitlines() == [
        "- nginx, no check: checks no token (no token)",
        "- HAProxy, jwt_verify: not installed",
    ]


def test_the_full_table_has_every_figure_and_what_idle_connections_added() -> None:
    found = outcomes(one_token=ONE, idle=dataclasses.replace(ONE, memory=80.0, growth=29.6))
    rows = cells(report.in_full(chosen_scenarios(["one-token", "idle"]), PEERS, found))[2:]
    assert rows[1] == ["one token", "oauth-gateway", "30.0", "33,000", "0.90", "1.50", "50", "99%"]
    assert rows[2][6] == "80 (+30)"
    assert len(rows) == 3


def changed(**figures: float) -> Result:
    return dataclasses.replace(ONE, **figures)


def promised(evidence: Evidence) -> dict[str, bool]:
    return {promise.sentence: promise.holds for promise in judged(evidence)}


@pytest.mark.parametrize(
    ("sentence", "found", "holds"),
    [
        ("At most 1.8 times the CPU of nginx without any check", {"one_token": changed(microseconds=36.0)}, True),
        ("At most 1.8 times the CPU of nginx without any check", {"one_token": changed(microseconds=37.0)}, False),
        (
            "A bad signature costs at most what one verification by PyJWT costs",
            {"bad_signatures": changed(microseconds=61.0)},
            False,
        ),
        ("5,000 idle connections take less than 100 MiB", {"idle": changed(growth=99.0)}, True),
        ("5,000 idle connections take less than 100 MiB", {"idle": changed(growth=101.0)}, False),
    ],
)
def test_a_promise_is_judged_by_the_figures_of_its_scenario(
    sentence: str, found: dict[str, Result], holds: bool
) -> None:
    assert promised(Evidence(outcomes(**found), {}, 60.0)) == {sentence: holds}


@pytest.mark.parametrize(
    ("scenario", "ratios", "holds"),
    [
        ("routes", Ratios(1.05, 9, 9), True),
        ("routes", Ratios(1.06, 0, 0), False),
        ("many-tokens", Ratios(1.25, 9, 9), True),
        ("many-tokens", Ratios(1.26, 0, 0), False),
        ("flood", Ratios(9, 2.0, 9), True),
        ("flood", Ratios(0, 2.1, 0), False),
        ("workers", Ratios(9, 9, 1.8), True),
        ("workers", Ratios(0, 0, 1.7), False),
    ],
)
def test_a_promise_beside_the_base_is_judged_by_the_pair(scenario: str, ratios: Ratios, holds: bool) -> None:
    assert list(promised(Evidence({}, {scenario: ratios})).values()) == [holds]


def test_nothing_is_said_of_what_was_not_measured() -> None:
    missing: Outcomes = {"one-token": {"gateway": Absent("did not start"), "haproxy": ONE}}
    assert promised(Evidence(missing, {}, 60.0)) == {}
    assert promised(Evidence(outcomes(bad_signatures=ONE), {})) == {}


def test_the_chart_is_a_picture_of_every_scenario(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = outcomes(**{scenario.key.replace("-", "_"): ONE for scenario in SCENARIOS})
    few, many = tmp_path / "few.png", tmp_path / "new" / "many.png"
    assert chart.draw(SCENARIOS[:1], PEERS, found, few)
    assert chart.draw(SCENARIOS, PEERS, found, many)
    assert many.read_bytes().startswith(b"\x89PNG\r\n")
    assert many.stat().st_size > few.stat().st_size > 1000


def test_results_replace_those_that_stand_in_a_document(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- run -->\nold\n<!-- /run -->\nafter\n<!-- other -->\n<!-- /other -->\n")
    document.put(file, "run", "new")
    document.put(file, "run", "newer\n")
    text = "before\n<!-- run -->\n\nnewer\n\n<!-- /run -->\nafter\n<!-- other -->\n<!-- /other -->\n"
    assert file.read_text() == text
    with pytest.raises(document.NoSuchMark, match="<!-- another -->"):
        document.put(file, "another", "lost")
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("workers", "available", "measured", "load", "are_enough"),
    [
        (1, [0, 1], (0,), (1,), True),
        (1, [3, 1, 5, 7], (1,), (3,), True),
        (2, [0, 1], (0,), (1,), False),
        (2, [0, 1, 2], (0,), (1,), False),
        (2, [0, 1, 2, 3], (0, 1), (2, 3), True),
    ],
)
def test_what_is_measured_and_the_load_never_share_a_core(
    workers: int, available: list[int], measured: tuple[int, ...], load: tuple[int, ...], are_enough: bool
) -> None:
    cores = Cores.for_workers(workers, available)
    assert (cores.measured, cores.load, cores.are_enough_for(workers)) == (measured, load, are_enough)


def test_one_core_is_too_few() -> None:
    with pytest.raises(ValueError, match="two cores are needed"):
        Cores.for_workers(1, [0])


def test_the_circumstances_name_date_machine_and_versions() -> None:
    text = circumstances(["made-up 1.2"], 0.25)
    assert "cores, Linux" in text
    assert "load average 0.2" in text
    assert "made-up 1.2; Python 3." in text
