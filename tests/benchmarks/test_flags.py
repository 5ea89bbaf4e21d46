"""benchmarks/flags.py: how often a run counts as collapsed where none has."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from benchmarks.flags import HERE, Flags, simulated, table

RECORD = json.loads((HERE / "flags.json").read_text(encoding="utf-8"))
CELLS = [Flags(**cell) for cell in RECORD["cells"]]


@pytest.mark.parametrize("noise", ["normal", "heavy"])
def test_the_committed_shares_are_those_of_todays_rules(noise: str) -> None:
    sweeps = 200
    (committed,) = (c for c in CELLS if (c.noise, c.seeds) == (noise, 5))
    again = asdict(simulated((noise, 5), sweeps))
    for rule in ("by_distance", "by_either"):
        p = asdict(committed)[rule]
        assert abs(again[rule] - p) <= 4 * (p * (1 - p) / sweeps) ** 0.5 + 1 / sweeps


def test_the_page_shows_the_committed_shares() -> None:
    assert table(CELLS) in (HERE / "flags.md").read_text(encoding="utf-8")


def test_a_gap_flags_no_less_than_the_distance_alone() -> None:
    assert all(c.by_distance <= c.by_either for c in CELLS) and len(CELLS) == 40
