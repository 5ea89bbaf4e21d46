"""A caller's own scores are judged as `raykd verdict --from` judges their table."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raykd.analysis.scores.public import read_scores
from raykd.analysis.stats.power import needed
from raykd.analysis.verdict.public import judge, power
from raykd.errors import UserError

from ..tables import judged

RECORDS = [
    {
        "Task": "reviews", "init": "copied", "shape": "3", "strategy": strategy, "seed": seed,
        "metric": "accuracy", "score": score + seed / 10 + (seed * 7 + len(strategy)) % 3 / 10,
    }
    for strategy, score in (("none", 70.0), ("forward", 75.0), ("reverse", 74.8))
    for seed in range(6)
]  # fmt: skip


def file_of(folder: Path, records: list[dict[str, Any]]) -> Path:
    path = folder / "scores.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return path


def plain(verdict: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in json.loads(json.dumps(verdict)).items() if k != "source"}


def test_records_a_frame_a_file_and_the_command_agree(tmp_path: Path) -> None:
    file = file_of(tmp_path, RECORDS)
    sources = [RECORDS, pd.DataFrame(RECORDS).to_dict("records"), file, str(file)]
    found = [plain(judge(read_scores(source), margin=1.0).to_json()) for source in sources]
    assert found[0] == found[1] == found[2] == found[3] == plain(judged(file, "--margin", 1))
    assert {h["id"]: h["status"] for h in found[0]["hypotheses"]}["H1"] == "supported"


def test_a_record_without_a_score_is_a_missing_run() -> None:
    for lost in (None, ""):
        records = [*RECORDS[:-1], {**RECORDS[-1], "score": lost}]
        verdict = judge(read_scores(records), margin=1.0)
        (arm,) = (a for a in verdict.cells[0].arms if a.strategy == "reverse")
        assert arm.missing == (5,)


def test_smaller_is_better_where_it_is_said() -> None:
    records = [{**r, "metric": "own_index"} for r in RECORDS]
    assert read_scores(records).larger_is_better
    assert not read_scores(records, smaller_is_better=True).larger_is_better


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "scores: there are no rows; a table of scores has task"),
        ([("forward", 1.0)], "scores: row 1 is a tuple; write a dict with task"),
        ([{"strategy": "forward", "score": 1}], "scores: no column task, init, shape, metric"),
        ([{**r, "score": "high"} for r in RECORDS], "scores: row 1: score: 'high' is not a number"),
    ],
)
def test_records_that_are_no_scores_are_refused(records: Any, says: str) -> None:
    with pytest.raises(UserError) as caught:
        read_scores(records)
    assert str(caught.value).startswith(says)


def test_a_margin_is_stated_and_makes_sense() -> None:
    scores = read_scores(RECORDS)
    with pytest.raises(UserError, match="no margin is stated; write margin=X, the smallest"):
        judge(scores)
    with pytest.raises(UserError, match="margin: 200 is too large for accuracy"):
        judge(scores, margin=200)
    for margin in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="margin: .*; write a number above 0"):
            judge(scores, margin=margin)
    with pytest.raises(ValueError, match="alpha: 0.7"):
        judge(scores, margin=1.0, alpha=0.7)
    stated = [{**r, "margin": 2} for r in RECORDS]
    assert judge(read_scores(stated)).margin == 2


def test_power_is_that_of_the_command() -> None:
    assert power(sd=1.0, margin=1.0) == needed(1.0, 1.0, 0.05, 4)
    assert power(1.0, 1.0, 0.1, 1) == needed(1.0, 1.0, 0.1, 1)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"sd": 0.0}, "sd: 0.0; write a number above 0"),
        ({"margin": math.inf}, "margin: inf; write a number above 0"),
        ({"alpha": 0.5}, "alpha: 0.5; write a number above 0 and below 0.5"),
        ({"comparisons": 0}, "comparisons: 0; write a whole number from 1 on"),
    ],
)
def test_power_of_impossible_values_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        power(**{"sd": 1.0, "margin": 1.0, **values})
    assert str(caught.value) == says
