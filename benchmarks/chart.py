"""CPU per request as a picture: one small chart a scenario, one bar a server. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison import Outcomes, Result
from benchmarks.rounds import Absent
from benchmarks.scenarios import Scenario
from benchmarks.servers.peer import Peer

COLUMNS = 3
_COLOURS = {
    "nginx": "#9aa0a6",
    "haproxy": "#5b8def",
    "envoy": "#b366d6",
    "envoy-uncached": "#d3abe8",
    "apache": "#d9823b",
    "gateway": "#1b9e5a",
    "gateway-python": "#8fcfae",
}


def draw(scenarios: Sequence[Scenario], peers: Sequence[Peer], outcomes: Outcomes, file: Path) -> bool:
    """Write a PNG. False where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    columns = min(COLUMNS, len(scenarios))
    rows = math.ceil(len(scenarios) / columns)
    figure = Figure(figsize=(4.6 * columns, (0.32 * len(peers) + 0.75) * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("CPU µs per request (less is better)")
    places = figure.subplots(rows, columns, squeeze=False).flatten()
    for place, scenario in zip(places, scenarios, strict=False):
        _bars(place, scenario, peers, outcomes)
    for place in places[len(scenarios) :]:
        place.set_axis_off()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=90)
    return True


def _bars(place: Any, scenario: Scenario, peers: Sequence[Peer], outcomes: Outcomes) -> None:
    found = [outcomes[scenario.key][peer.key] for peer in peers]
    values = [outcome.microseconds if isinstance(outcome, Result) else 0.0 for outcome in found]
    bars = place.barh([peer.name for peer in peers], values, color=[_COLOURS.get(peer.key) for peer in peers])
    labels = [outcome.reason if isinstance(outcome, Absent) else f"{outcome.microseconds:.1f}" for outcome in found]
    place.bar_label(bars, labels=labels, padding=3, fontsize=8)
    place.set_title(scenario.title, fontsize=9)
    place.tick_params(labelsize=8)
    place.invert_yaxis()
    place.set_xlim(0, (max(values) or 1) * 1.2)
    place.spines[["top", "right"]].set_visible(False)
