"""A sweep's scores beside published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.analysis.scores.scores import Score, Scores
from raykd.analysis.summary.published import compare_published
from raykd.analysis.verdict.context import PublishedComparison
from raykd.analysis.verdict.judge import judge
from raykd.cli.app import app

from ...support.world import write_sweep

PAPER = Path(__file__).parents[3] / "studies" / "paper_tables.csv"


def score(strategy: str, init: str, seed: int, value: float, task: str = "mine") -> Score:
    return Score(task, init, "3", strategy, seed, "accuracy", value)


def ours() -> Scores:
    return Scores(
        tuple(
            score(strategy, init, seed, value + seed)
            for strategy, value in (("forward", 80.0), ("reverse", 78.0), ("last", 70.0))
            for init in ("copied [2, 4, 6]", "random")
            for seed in (0, 1, 2)
        ),
        metric="accuracy",
    )


def test_each_published_cell_stands_beside_ours() -> None:
    """Copied is copied, whichever blocks; a strategy or init that was not published has no row."""
    theirs = [score("forward", "copied", 0, 81.5, "SST-2"), score("reverse", "copied", 0, 77.0,
              "SST-2"), score("random", "copied", 0, 50.0, "SST-2")]  # fmt: skip
    found = compare_published(judge(ours(), 1.0, 0.05).cells, theirs)
    init, row = "copied [2, 4, 6]", PublishedComparison
    assert found == (
        row("SST-2", init, "3", "forward", "accuracy", 81.5, 81.0, 80, 82, 3, -0.5, True),
        row("SST-2", init, "3", "reverse", "accuracy", 77.0, 79.0, 78, 80, 3, 2.0, False),
    )


def test_one_seed_has_no_range() -> None:
    mine = Scores(tuple(s for s in ours().items if s.seed == 0), metric="accuracy")
    theirs = [score("forward", "random", 0, 80.0)]
    assert [b.inside for b in compare_published(judge(mine, 1.0, 0.05).cells, theirs)] == [None]


@pytest.mark.parametrize(
    ("published", "line"),
    [
        ({"table": "none.csv", "task": "SST-2"}, "published.table: none.csv: there is no file"),
        ({"table": str(PAPER), "task": "SST2"}, "has no task 'SST2'; it has MNLI-m"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(
    published: dict[str, Any], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["plan", str(write_sweep(tmp_path, published=published))])
    assert done.exit_code == 2
    assert line in " ".join(done.stderr.split())
