"""docs/runs.md shows the tables in studies/ as they are."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]


def scores(name: str) -> dict[tuple[str, str], list[float]]:
    """By init and strategy."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with (ROOT / "studies" / name / "scores.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            found[row["init"], row["strategy"]].append(float(row["score"]))
    return found


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.partition("\n")[0])
def test_a_run_is_shown_as_its_table_has_it(section: str) -> None:
    names = re.findall(r"\(\.\./studies/(\w+)/scores\.csv\)", section)
    arms = [arm for name in names for arm in scores(name).items()]
    lines = [line for line in section.splitlines() if re.search(r"  \d+  +[\d.]+ to [\d.]+", line)]
    assert names and len(lines) == len(arms)
    for (init, strategy), values in arms:
        spread = f"{min(values):.2f} to {max(values):.2f}"
        told = re.compile(
            rf"^ *{re.escape(init)} +{strategy} +.* {fmean(values):.2f} +{len(values)}  +{spread}"
        )
        assert any(told.match(line) for line in lines), (init, strategy)
