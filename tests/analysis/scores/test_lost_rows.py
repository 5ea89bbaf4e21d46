"""Runs of a table without a score hold answers back, whoever left the score out and however."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.to_table import save

from ..tables import arms, judged, run, table

Row = list[str]
ARMS = arms(sd=0.1)


def edited(file: Path, edit: Callable[[Row], Row | None], more: str = "") -> Path:
    """With each row (task, init, shape, strategy, seed, metric, score) as `edit` returns it."""
    header, *rows = file.read_text().splitlines()
    kept = [edit(row.split(",")) for row in rows]
    lines = [header + more, *(",".join(row) for row in kept if row is not None)]
    file.write_text("\n".join(lines) + "\n")
    return file


def h1(file: Path) -> dict[str, Any]:
    (found,) = [h for h in judged(file, "--margin", 1)["hypotheses"] if h["id"] == "H1"]
    return dict(found)


@pytest.mark.parametrize("written", ["", "nan", "NaN", "inf", "-inf", "null", "N/A"])
def test_a_row_without_a_score_is_a_missing_run(written: str, tmp_path: Path) -> None:
    assert h1(table(tmp_path, ARMS))["status"] == "supported"
    lost = edited(
        table(tmp_path, ARMS),
        lambda r: [*r[:-1], written] if r[3:5] == ["reverse", "2"] else r,
    )
    found = h1(lost)
    assert found["status"] == "undecided" and found["withheld"] and found["missing"] == 1
    (problem,) = from_table(lost).problems
    assert (problem.kind, problem.strategy, problem.seeds) == ("failed", "reverse", (2,))


@pytest.mark.parametrize("written", ["", "nan"])
def test_an_arm_of_which_no_run_has_a_score_is_not_forgotten(written: str, tmp_path: Path) -> None:
    lost = edited(table(tmp_path, ARMS), lambda r: [*r[:-1], written] if r[3] == "reverse" else r)
    found = h1(lost)
    assert found["status"] == "undecided" and "no paired score of reverse" in found["says"]


@pytest.mark.parametrize("column", ["status", "State"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [("failed", "failed"), ("CRASHED", "failed"), ("diverged", "failed"), ("running", "missing")],
)
def test_the_score_of_a_run_that_did_not_finish_is_none(
    column: str, status: str, kind: str, tmp_path: Path
) -> None:
    lost = edited(
        table(tmp_path, ARMS),
        lambda r: [*r, status if r[3:5] == ["reverse", "2"] else "FINISHED"],
        f",{column}",
    )
    found = h1(lost)
    assert found["status"] == "undecided" and found["withheld"]
    assert [(p.kind, p.seeds) for p in from_table(lost).problems] == [(kind, (2,))]


def test_what_a_failed_run_scored_may_be_the_worst_seen(tmp_path: Path) -> None:
    """By the finished runs' worst score H2 would hold; the run that failed stood at 20."""

    def fails(score: str) -> Path:
        return edited(
            table(tmp_path, arms(gains={"none": -9.0, "forward": 0.0, "reverse": 0.3})),
            lambda r: (
                [*r[:-1], score, "failed"] if r[3:5] == ["reverse", "2"] else [*r, "finished"]
            ),
            ",status",
        )

    for wanted, score in (("supported", ""), ("undecided", "20.0")):
        found = judged(fails(score), "--margin", 1)
        status = {h["id"]: h["status"] for h in found["hypotheses"]}
        assert status["H2"] == wanted


def test_a_second_try_that_finished_counts(tmp_path: Path) -> None:
    file = table(tmp_path, ARMS)
    wanted = judged(file, "--margin", 1)
    file.write_text(file.read_text() + "a,copied,3,reverse,2,accuracy,\n")
    assert judged(file, "--margin", 1) == wanted


def test_an_arm_that_only_another_init_has_holds_every_strategy_back(tmp_path: Path) -> None:
    file = table(tmp_path, ARMS)
    rows = [r for r in file.read_text().splitlines() if "reverse" not in r]
    other = [r.replace("copied", "random") for r in rows[1:]]
    file.write_text(file.read_text() + "\n".join(other) + "\n")
    found = {h["init"]: h for h in judged(file, "--margin", 1)["hypotheses"] if h["id"] == "H1"}
    assert found["copied"]["status"] == "supported"
    assert found["random"]["status"] == "undecided"
    assert "no paired score of reverse" in found["random"]["says"]


def test_a_saved_table_keeps_the_runs_that_are_lost(tmp_path: Path) -> None:
    """Also those of an arm of which none is left, without which it would be judged otherwise."""
    lost = edited(
        table(tmp_path, ARMS),
        lambda r: [*r[:-1], ""] if r[3] == "last" or r[3:5] == ["reverse", "2"] else r,
    )
    again = tmp_path / "again.csv"
    save(from_table(lost), again, 1.0)
    one, other = judged(lost, "--margin", 1), judged(again)
    for found in (one, other):
        del found["source"]
    assert one == other


def test_numbers_of_the_survivors_say_so(tmp_path: Path) -> None:
    """The largest gap, the variance and the model over tasks are not held against a worst case."""
    whole = table(tmp_path, ARMS)
    other = table(tmp_path, ARMS, task="b", name="other.csv")
    whole.write_text(whole.read_text() + "\n".join(other.read_text().splitlines()[1:]) + "\n")

    def lines() -> dict[str, str]:
        _, out, _ = run("verdict", "--from", whole, "--margin", 1)
        starts = ("largest gap", "variance", "Over 2 tasks")
        return {start: line for line in out.splitlines() for start in starts if start in line}

    before = lines()
    assert len(before) == 3 and "90 % interval)" in before["Over 2 tasks"]
    assert not any("missing runs left out" in line for line in before.values())
    edited(whole, lambda r: [*r[:-1], ""] if r[3:5] == ["reverse", "2"] else r)
    after = lines()
    assert all("missing runs left out" in line for line in after.values())
    assert "over the 5 seeds that all have" in after["largest gap"]
