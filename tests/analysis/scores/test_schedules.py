"""The schedule as a factor of the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from raykd.analysis.scores.from_runs import Trial, from_trials
from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.loss_weights import TUNED, over_weights
from raykd.analysis.scores.scores import Problem, Score, Scores
from raykd.analysis.scores.to_table import save
from raykd.analysis.summary.table_file import csv_text, latex
from raykd.analysis.verdict.judge import judge
from raykd.errors import UserError

from .test_loading import Trial as Ran

SEEDS = range(4)


def arm(strategy: str, schedule: str, test: float, weight: str = "1") -> list[Score]:
    return [
        Score("reviews", "copied", "3", strategy, s, "accuracy", test + s / 10, select=test,
              weight="" if strategy == "none" else weight, schedule=schedule)
        for s in SEEDS
    ]  # fmt: skip


ITEMS = [
    *arm("none", "constant", 70), *arm("forward", "constant", 80), *arm("reverse", "constant", 80),
    *arm("none", "hint", 70), *arm("forward", "hint", 75), *arm("reverse", "hint", 78),
]  # fmt: skip


def scores(items: list[Score], problems: list[Problem] | None = None) -> Scores:
    found, named = over_weights(items, problems or [], True)
    return Scores(found, "accuracy", problems=named, resolution=0.1, scale=100.0)


def test_strategies_are_compared_within_a_schedule_and_h4_is_over_schedules() -> None:
    found = judge(scores(ITEMS))
    assert [c.name for c in found.cells] == [
        ("reviews", "copied", "3", "", "constant"), ("reviews", "copied", "3", "", "hint"),
    ]  # fmt: skip
    effects = {c.schedule: c.to_forward[0].effect for c in found.cells}
    assert effects == {"constant": pytest.approx(0), "hint": pytest.approx(3)}
    assert [c.hypothesis("H1").status for c in found.cells] == ["supported", "contradicted"]
    assert found.over_cells is not None and found.over_cells.everywhere == "contradicted"
    assert found.over_cells.cell[-1] == "hint"
    assert "schedule hint" in found.over_cells.says


def test_a_weight_is_a_factor_within_a_schedule_alone() -> None:
    """Stages may state another hidden weight than `losses`; that is no factor."""
    other = [*arm("none", "warm", 70), *arm("forward", "warm", 75, "3"),
             *arm("reverse", "warm", 75, "3")]  # fmt: skip
    assert {s.weight for s in scores([*ITEMS, *other]).items} == {""}
    crossed = [*ITEMS, *arm("forward", "constant", 81, "3"), *arm("reverse", "constant", 79, "3")]
    cells = scores(crossed).cells
    assert [c[3:] for c in cells] == [
        (TUNED, "constant"), ("1", "constant"), ("3", "constant"), ("", "hint"),
    ]  # fmt: skip
    over_cells = judge(scores(crossed)).over_cells
    assert over_cells is not None and over_cells.cells == 2  # the tuned one, and that of hint


def test_an_arm_that_is_lost_is_missed_in_its_schedule_alone() -> None:
    items = [s for s in ITEMS if (s.strategy, s.schedule) != ("reverse", "hint")]
    lost = Problem("failed", "reverse failed", "reviews", "copied", "3", "reverse", weight="1",
                   seeds=(0, 1), schedule="hint")  # fmt: skip
    constant, hint = judge(scores(items, [lost])).cells
    assert not constant.problems
    assert [p.strategy for p in hint.problems] == ["reverse"]
    assert hint.hypothesis("H1").status == "undecided"


def test_a_student_without_matching_counts_under_every_schedule_that_leaves_it_the_same() -> None:
    """Runs are named by what the sweep says of each; one that is not finished is missed in each."""
    blank = "[null, null, null]"
    trials = [
        *(Ran(f"n{s}", "none", s, map=blank) for s in (0,)),
        *(Ran(f"f{s}", "forward", s) for s in (0, 1)),
        *(Ran(f"h{s}", "forward", s, params={"depth": "3", "loss_schedule": "x"}) for s in (0, 1)),
    ]

    def schedules_of(trial: Trial) -> tuple[str, ...]:
        if trial.strategy == "none":
            return ("constant", "hint")
        return ("hint",) if "loss_schedule" in trial.params else ("constant",)

    init = trials[0].init
    planned = [(init, "3", "none", s, "", name) for s in (0, 1) for name in ("constant", "hint")]
    found = from_trials(
        [*trials, Ran("r0", "reverse", 0), Ran("r1", "reverse", 1)], task="reviews",
        metric="accuracy", source="tiny", planned=planned, schedules_of=schedules_of,
    )  # fmt: skip
    none = [(s.schedule, s.seed) for s in found.items if s.strategy == "none"]
    assert sorted(none) == [("constant", 0), ("hint", 0)]
    missed = [(p.strategy, p.schedule, p.seeds) for p in found.problems]
    assert sorted(missed) == [("none", "constant", (1,)), ("none", "hint", (1,))]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_keeps_them(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"scores{ending}"
    lost = Problem("missing", "none is not finished", "reviews", "copied", "3", "none", seeds=(7,),
                   schedule="hint")  # fmt: skip
    before = scores(ITEMS, [lost])
    assert save(before, file, 1.0) == len(ITEMS) + 1
    after = from_table(file)
    assert [(s.cell, s.strategy, s.seed, s.score) for s in after.items] == [
        (s.cell, s.strategy, s.seed, s.score) for s in before.items
    ]
    assert [(p.strategy, p.schedule, p.seeds) for p in after.problems] == [("none", "hint", (7,))]
    verdict = judge(after)
    assert "hint" in csv_text(verdict) and "schedule hint" in latex(verdict)
    plain = tmp_path / "plain.csv"
    save(scores([s for s in ITEMS if s.schedule == "constant"]), plain, 1.0)
    assert "schedule" in plain.read_text().splitlines()[0]


HEAD = "task,init,shape,strategy,seed,metric,score,schedule\n"


def test_in_a_table_no_name_stands_for_constant_weights(tmp_path: Path) -> None:
    rows = [f"a,copied,3,{s},{i},accuracy,8{i}.1,{n}\n" for s in ("forward", "reverse")
            for i in (0, 1) for n in ("", "hint")]  # fmt: skip
    file = tmp_path / "table.csv"
    file.write_text(HEAD + "".join(rows))
    assert [c[4] for c in from_table(file).cells] == ["constant", "hint"]
    file.write_text(HEAD + "".join(r.replace("hint", "") for r in rows[::2]))
    assert [c[4] for c in from_table(file).cells] == [""]
    file.write_text(HEAD + "".join([*rows, rows[1]]))
    with pytest.raises(UserError, match="schedule hint"):
        from_table(file)
