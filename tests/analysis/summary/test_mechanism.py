"""H6 on made-up students: every answer, nulls that success cannot fail, and intervals of open cells
(cases/statistics.md, 7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raykd.analysis.scores.scores import NONE
from raykd.analysis.summary.mechanism import UNMEASURED, add_mechanism
from raykd.analysis.verdict.imitation import StudentImitation
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Cell, Hypothesis, Verdict

from .. import made

CELL = ("reviews", "copied", "2", "", "")
MAPS = {"forward": ("1", "3"), "reverse": ("3", "1")}
MARGIN = 0.5


def students(
    agreement: float = 0.8,
    transfer: float = 0.8,
    *,
    null: float = 0.5,
    noise: float = 0.01,
    seeds: int = 6,
    gain: float = 0.4,
    none: float = 0.2,
    odd: float | None = None,
) -> list[StudentImitation]:
    """Two strategies and none. `odd`: the agreement of one pair of reverse."""
    rng, result = np.random.default_rng(2), []
    for seed in range(seeds):
        for name, targets in MAPS.items():
            r2, cosines = {}, {}
            for block, own in enumerate(targets, 1):
                for teacher in ("1", "2", "3"):
                    gained = gain if teacher == own else gain * transfer
                    r2[str(block), teacher] = none + gained + noise * rng.normal()
                for other in {"1", "3"} - {own}:
                    value = agreement
                    if odd is not None and (name, block) == ("reverse", 2):
                        value = odd
                    value += noise * rng.normal()
                    cosines[str(block), other] = (null + value * (1 - null), null)
            pairs = tuple((str(b), t) for b, t in enumerate(targets, 1))
            result.append(StudentImitation(CELL, name, seed, False, pairs, r2, {}, cosines))
        r2 = {(b, t): none + noise * rng.normal() for b in "12" for t in "123"}
        result.append(StudentImitation(CELL, NONE, seed, False, (), r2, {}, {}))
    return result


def verdict(*names: str, **options: object) -> Verdict:
    arms = {name: [80.0, 81.0, 82.0] for name in (NONE, *MAPS, *names)}
    return judge(made.scores(arms, shape="2", **options))  # type: ignore[arg-type]


def judged(found: list[StudentImitation], margin: float = MARGIN) -> tuple[Hypothesis, Cell]:
    (cell,) = add_mechanism(verdict(), found, margin).cells
    return cell.hypothesis("H6"), cell


@pytest.mark.parametrize(
    ("agreement", "transfer", "odd", "status", "margin"),
    [
        (0.6, 0.95, None, "supported", MARGIN),
        (0.95, 0.8, None, "supported", 0.0),
        (0.8, 0.8, 0.1, "contradicted", MARGIN),  # one pair of one strategy
        (0.8, 0.1, None, "contradicted", 0.0),  # students matched elsewhere gain little
        (0.0, 0.0, None, "contradicted", MARGIN),
        (0.5, 0.8, None, "undecided", MARGIN),
        (0.8, 0.5, None, "undecided", 0.0),
        (0.003, 0.8, None, "contradicted", MARGIN),  # above the null, by less than the margin
    ],
)
def test_every_answer(
    agreement: float, transfer: float, odd: float | None, status: str, margin: float
) -> None:
    h6, _ = judged(students(agreement, transfer, odd=odd))
    assert (h6.status, h6.margin, h6.n) == (status, margin, 6)
    assert h6.interval is not None and h6.effect is not None
    low, high = h6.interval
    assert low <= h6.effect <= high
    assert {"supported": low > margin, "contradicted": high < margin,
            "undecided": low <= margin <= high}[status]  # fmt: skip


@settings(max_examples=40)
@given(
    st.floats(-1, 1), st.floats(-1, 1.5), st.floats(-0.9, 0.9), st.floats(0.001, 0.5),
    st.integers(1, 6), st.floats(0.05, 0.95),
)  # fmt: skip
def test_an_interval_lies_where_the_status_says(
    agreement: float, transfer: float, null: float, noise: float, seeds: int, margin: float
) -> None:
    """An open cell never shows an interval on one side of the margin."""
    found = students(agreement, transfer, null=null, noise=noise, seeds=seeds)
    h6, _ = judged(found, margin)
    if h6.interval is None:
        assert h6.status == "undecided" and h6.level is None
        return
    low, high = h6.interval
    side = "supported" if low > h6.margin else "contradicted" if high < h6.margin else "undecided"
    assert side == h6.status


def test_unrelated_targets_do_not_support_the_claim_however_acute_they_are() -> None:
    """Three unrelated points see each other at 60 degrees, a cosine of 0.5."""
    h6, cell = judged(students(0.0, 0.0, null=0.5))
    assert h6.status == "contradicted"
    assert cell.mechanism is not None
    assert all(a.cosine == pytest.approx(0.5, abs=0.02) for a in cell.mechanism.agreements)


def test_success_is_not_held_against_a_student() -> None:
    """The null is that of the same student: the nearer it is, the smaller are both cosines. What it
    gains is compared with students that match nothing, however much that is."""
    for null, gain in ((0.9, 0.05), (0.5, 0.2), (0.0, 0.6), (-0.3, 0.79)):
        assert judged(students(null=null, gain=gain, noise=0.001))[0].status == "supported"


def test_r2_below_the_mean_state_is_no_gain() -> None:
    """Students of none from random weights are far below 0; those that are matched anywhere reach
    the mean state, which says nothing of teacher blocks."""
    found = [
        replace(s, r2={k: v - 4.2 if s.strategy == NONE else v for k, v in s.r2.items()})
        for s in students(0.8, 0.0, none=0.0, gain=0.5, noise=0.001)
    ]
    h6, cell = judged(found)
    assert cell.mechanism is not None
    assert all(t.elsewhere < 0.01 for t in cell.mechanism.transfers)
    assert h6.status == "contradicted" and h6.margin == 0.0


def test_where_matching_gains_nothing_there_is_nothing_to_transfer() -> None:
    h6, cell = judged(students(0.8, 0.8, gain=0.0))
    assert h6.status == "undecided"
    assert cell.mechanism is not None and max(t.p_gain for t in cell.mechanism.transfers) > 0.05


def test_without_students_of_none_the_gradients_decide_and_the_text_says_so() -> None:
    h6, cell = judged([s for s in students() if s.strategy != NONE])
    assert h6.status == "supported" and "distances are not compared" in h6.says
    assert cell.mechanism is not None and cell.mechanism.transfers == ()


def test_one_seed_decides_nothing() -> None:
    h6, _ = judged(students(seeds=1))
    assert (h6.status, h6.interval) == ("undecided", None) and "one seed" in h6.says


def test_an_arm_without_gradients_holds_the_claim_back() -> None:
    (cell,) = add_mechanism(verdict("last"), students(), MARGIN).cells
    h6 = cell.hypothesis("H6")
    assert h6.status == "undecided" and "not measured: last" in h6.says


def test_controls_take_no_part() -> None:
    odd = [replace(s, strategy="strange", control=True,
                   cosines=dict.fromkeys(s.cosines, (-0.9, 0.5)))
           for s in students() if s.strategy == "forward"]  # fmt: skip
    found = add_mechanism(verdict("strange", controls=["strange"]), [*students(), *odd], MARGIN)
    h6 = found.cells[0].hypothesis("H6")
    assert h6.status == "supported"


def test_a_strategy_with_a_map_for_each_seed_is_judged_by_its_mean() -> None:
    """A pair of it occurs under some seeds only."""
    drawn = [
        replace(s, strategy="random", pairs=(("1", str(1 + s.seed % 3)), ("2", "2")),
                cosines={("1", "3" if s.seed % 3 == 0 else "1"): (0.9, 0.5),
                         ("2", "1"): (0.91, 0.5), ("2", "3"): (0.9, 0.5)})
        for s in students() if s.strategy == "forward"
    ]  # fmt: skip
    (cell,) = add_mechanism(verdict("random"), [*students(), *drawn], MARGIN).cells
    assert cell.mechanism is not None
    keys = {(a.student, a.teacher) for a in cell.mechanism.agreements if a.strategy == "random"}
    assert keys == {(None, "1"), (None, "3")}


def test_runs_without_gradients_say_that_h6_is_not_measured() -> None:
    """The stores of older versions: H6 is left out, and a note says why."""
    older = [replace(s, cosines={}) for s in students()]
    before = verdict()
    for found in ([], older):
        result = add_mechanism(before, found, MARGIN)
        assert result.hypotheses == before.hypotheses
        assert result.notes[-1] == UNMEASURED and "not measured" in UNMEASURED


def test_a_cell_without_measured_students_says_so() -> None:
    both = judge(
        made.together(
            made.scores({n: [80.0, 81.0] for n in (NONE, *MAPS)}, shape="2"),
            made.scores({n: [80.0, 81.0] for n in (NONE, *MAPS)}, shape="2", init="random"),
        )
    )
    first, second = add_mechanism(both, students(), MARGIN).cells
    assert first.hypothesis("H6").status == "supported"
    h6 = second.hypothesis("H6")
    assert (h6.status, h6.effect) == ("undecided", None) and "not measured" in h6.says
