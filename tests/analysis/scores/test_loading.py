"""Tables and trials as scores: every mistake is one line that says where and what instead."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raykd.analysis.scores.from_runs import from_trials
from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.table_options import TableOptions
from raykd.analysis.verdict.judge import judge
from raykd.errors import UserError

HEADER = "task,init,shape,strategy,seed,metric,score"
ROWS = ["a,copied,3,forward,0,accuracy,80.1", "a,copied,3,reverse,0,accuracy,79.5",
        "a,copied,3,forward,1,accuracy,80.6", "a,copied,3,reverse,1,accuracy,80.2"]  # fmt: skip


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    file = folder / "table.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def test_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    found = from_table(written(tmp_path, *ROWS))
    assert (len(found.items), found.metric, found.seeded) == (4, "accuracy", True)
    assert found.resolution == pytest.approx(0.1)
    rows = list(csv.DictReader(written(tmp_path, *ROWS).open()))
    typed = [{**r, "seed": int(r["seed"]), "score": float(r["score"])} for r in rows]
    pq.write_table(pa.Table.from_pylist(typed), tmp_path / "table.parquet")
    assert from_table(tmp_path / "table.parquet").items == found.items


def test_names_may_be_written_as_people_write_them(tmp_path: Path) -> None:
    rows = [r.replace("reverse", "All-to-one").replace("forward", "Forward") for r in ROWS]
    assert {s.strategy for s in from_table(written(tmp_path, *rows)).items} == {
        "forward", "all_to_one",
    }  # fmt: skip


def test_controls_and_losses_are_told(tmp_path: Path) -> None:
    rows = [f"{r},{str('reverse' in r).lower()}".replace("accuracy", "Loss") for r in ROWS]
    rows += [r.replace("reverse", "last").replace("true", "") for r in rows if "reverse" in r]
    found = from_table(written(tmp_path, *rows, header=f"{HEADER},control"))
    assert {s.strategy for s in found.items if s.control} == {"reverse"}
    assert not found.larger_is_better
    assert (
        from_table(written(tmp_path, *ROWS), TableOptions(smaller_is_better=True)).larger_is_better
        is False
    )


BAD: dict[str, tuple[list[str], str, tuple[str, ...]]] = {
    "no rows": ([], HEADER, ("no rows",)),
    "missing column": (ROWS, HEADER.replace("strategy", "arm"), ("no column strategy", "arm")),
    "no score": ([r[:-4] for r in ROWS], HEADER, ("no row has a score",)),
    "status": ([f"{r},maybe" for r in ROWS], f"{HEADER},status", ("row 1", "'maybe'")),
    "some controls": (
        [f"{r},{'reverse,0' in r}" for r in ROWS], f"{HEADER},control",
        ("row 2", "row 4", "reverse"),
    ),
    "forward as a control": (
        [f"{r},true" for r in ROWS], f"{HEADER},control", ("forward is what",),
    ),
    "arms of two metrics": (
        [r.replace("accuracy", "f1") if "reverse" in r else r for r in ROWS], HEADER,
        ("task a", "accuracy in row 1", "f1 in row 2"),
    ),
    "no number": ([*ROWS, "a,copied,3,last,0,accuracy,8O"], HEADER, ("row 5", "'8O'")),
    "empty": ([*ROWS, "a,,3,last,0,accuracy,80"], HEADER, ("row 5", "init is empty")),
    "seed": ([*ROWS, "a,copied,3,last,1.5,accuracy,80"], HEADER, ("row 5", "seed", "'1.5'")),
    "twice": ([*ROWS, ROWS[0]], HEADER, ("rows 1 and 5", "forward, seed 0", "leave one out")),
    "two metrics": (
        [*ROWS, ROWS[0].replace("accuracy", "f1")], HEADER, ("row 1", "row 5", "a (f1)"),
    ),
    "both ways": (
        [*ROWS, "b,copied,3,forward,0,loss,0.3"], HEADER, ("loss", "accuracy", "two tables"),
    ),
    "one strategy": ([ROWS[0], ROWS[2]], HEADER, ("only forward",)),
    "ragged": ([*ROWS, "a,copied,3"], HEADER, ("row 5", "7 columns")),
    "control": ([f"{r},maybe" for r in ROWS], f"{HEADER},control", ("row 1", "'maybe'")),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_in_a_table_is_one_line(name: str, tmp_path: Path) -> None:
    rows, header, wanted = BAD[name]
    with pytest.raises(UserError) as error:
        from_table(written(tmp_path, *rows, header=header))
    (line,) = error.value.lines
    assert line.startswith(str(tmp_path / "table.csv"))
    for part in wanted:
        assert part in line


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "noise.csv").write_bytes(bytes(range(128, 256)))
    (tmp_path / "noise.parquet").write_bytes(b"PAR1 nothing")
    for name, part in (("absent.csv", "no such file"), ("noise.csv", "cannot be read"),
                       ("noise.parquet", "cannot be read")):  # fmt: skip
        with pytest.raises(UserError, match=part) as error:
            from_table(tmp_path / name)
        assert len(error.value.lines) == 1


def test_without_a_seed_column_a_second_score_of_an_arm_needs_one(tmp_path: Path) -> None:
    rows = [r.replace(",0,accuracy", ",accuracy").replace(",1,accuracy", ",accuracy") for r in ROWS]
    header = HEADER.replace("seed,", "")
    assert from_table(written(tmp_path, *rows[:2], header=header)).seeded is False
    with pytest.raises(UserError, match="add a seed column"):
        from_table(written(tmp_path, *rows, header=header))


def test_the_papers_tables_leave_everything_undecided() -> None:
    """Single runs: the gaps are there, what they mean is not."""
    found = judge(from_table(Path(__file__).parents[3] / "studies" / "paper_tables.csv"))
    assert {h.status for h in found.hypotheses} == {"undecided"}
    cells = {(c.task, c.init): c for c in found.cells}
    assert len(cells) == 18
    h1 = cells["MNLI-m", "random"].hypothesis("H1")
    assert h1.effect == pytest.approx(-3.2) and h1.strategy == "reverse"
    assert cells["DART", "random"].hypothesis("H2").effect == pytest.approx(32.64 - 38.76)
    assert {m.metric for m in found.mixed} == {"accuracy", "bleu"}


@dataclass(frozen=True)
class Trial:
    trial: str
    strategy: str
    seed: int
    status: str = "finished"
    phase: str = "confirm"
    map: str = "[2, 4, 6]"
    init: str = "copied [2, 4, 6]"
    error: str | None = None
    metrics: Mapping[str, float] = field(
        default_factory=lambda: {"test_accuracy": 80.0, "best_select_accuracy": 81.0}
    )
    params: Mapping[str, str] = field(default_factory=lambda: {"depth": "3"})


TRIALS = [Trial("a0", "forward", 0), Trial("a1", "forward", 1), Trial("b0", "reverse", 0),
          Trial("b1", "reverse", 1)]  # fmt: skip
SWEEP = {"task": "reviews", "metric": "accuracy", "source": "tiny"}


def test_trials_become_scores_and_the_search_stays_apart() -> None:
    ids, right = np.array(["x", "y", "z", "w"]), np.array([True, True, False, True])
    wide = replace(TRIALS[3], params={"depth": "3", "width": "64"})
    found = from_trials(
        [*TRIALS[:3], wide, Trial("e", "explored", 9, phase="explore", map="[1, 1, 1]")],
        correct={"a0": (ids, right)},
        **SWEEP,
    )
    assert [s.shape for s in found.items] == ["3", "3", "3", "3x64"]
    assert found.items[0].select == 81.0 and found.items[0].correct is right
    assert found.resolution == 25.0
    assert [(e.map, e.score) for e in found.explored] == [("[1, 1, 1]", 81.0)]


def test_what_is_not_finished_is_named_by_arm() -> None:
    init = "copied [2, 4, 6]"
    lost = Trial("c", "last", 0, status="failed", error="diverged at step 9")
    failed = [replace(lost, trial=f"c{i}", seed=i) for i in (0, 1)]
    planned = [
        (init, "3", s, i, "", "") for s in ("forward", "reverse", "last", "random") for i in (0, 1)
    ]
    found = from_trials([*TRIALS, *failed], planned=planned, **SWEEP)
    assert [(p.kind, p.strategy, p.says) for p in found.problems] == [
        ("failed", "last", "last failed under seeds 0, 1: diverged at step 9"),
        ("missing", "random", "random is not finished under seeds 0, 1"),
    ]


@pytest.mark.parametrize(("sign", "percent"), [(1, True), (-1, True), (-1, False)])
def test_a_metric_states_the_direction_and_unit_of_scores(sign: int, percent: bool) -> None:
    """The scores of examples become hundredths of which more are better, so that their differences
    times 100 are effects in the unit of the score."""
    ids, each = np.array(["x", "y"]), np.array([3.0, 5.0])
    found = from_trials(TRIALS, correct={"a0": (ids, each)}, sign=sign, percent=percent, **SWEEP)
    assert found.larger_is_better == (sign > 0)
    assert (found.scale, found.resolution) == ((100.0, 50.0) if percent else (None, 0.0))
    correct = found.items[0].correct
    assert correct is not None
    np.testing.assert_allclose(100 * correct, sign * each * (100 if percent else 1))


REFUSED = {
    "nothing finished": ([replace(t, status="running") for t in TRIALS], "no confirmed trial"),
    "an empty store": ([], "no confirmed trial"),
    "NaN": ([*TRIALS[:3], replace(TRIALS[3], metrics={"test_accuracy": float("nan")})],
            "test_accuracy = nan"),
    "no metric": ([*TRIALS[:3], replace(TRIALS[3], metrics={})], "without test_accuracy"),
    "twice": ([*TRIALS, TRIALS[0]], "trial a0 is finished in 2 runs"),
    "one strategy": (TRIALS[:2], "only forward"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_store_that_says_nothing_or_two_things_is_refused(name: str) -> None:
    trials, part = REFUSED[name]
    with pytest.raises(UserError, match=part) as error:
        from_trials(trials, **SWEEP)
    (line,) = error.value.lines
    assert line.startswith("tiny: ")


def test_strategies_that_are_still_to_be_trained_are_named_with_the_command() -> None:
    planned = [
        ("copied", "3", arm, seed, "1", "") for arm in ("forward", "reverse") for seed in (0, 1)
    ]
    with pytest.raises(
        UserError, match="only forward has finished so far, and not reverse; "
    ) as error:
        from_trials(TRIALS[:2], planned=planned, **SWEEP)
    assert "run `raykd sweep` first" in error.value.lines[0]
