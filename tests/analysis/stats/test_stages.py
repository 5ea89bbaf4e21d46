"""Case 5: a verdict at its stated seeds has all of alpha, and what added seeds may still bring."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import extended
from benchmarks.noise import ALPHA, Truth
from raykd.analysis.scores.scores import Scores
from raykd.analysis.stats import paired
from raykd.analysis.stats.stages import (
    FIRST,
    JOINT,
    Judgement,
    above,
    below,
    beyond,
    combined,
    interval,
    later_level,
    within,
)
from raykd.analysis.verdict.caveats import caveats
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Case, Verdict

from ..made import scores

SWEEPS = 1000
RNG = np.random.default_rng(5)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.0125, 0.005])
def test_both_judgements_of_an_extension_spend_alpha_and_no_more(alpha: float) -> None:
    """Also at the smaller levels of Holm's steps."""
    first, added = np.random.default_rng(0).random((2, 1_000_000))
    passed = (first <= FIRST * alpha) | (combined(first, added) <= alpha)
    assert passed.mean() == pytest.approx(alpha, rel=0.03)
    statistic = later_level(alpha)
    assert 0.2 * alpha < statistic < alpha


def test_the_combined_p_value_falls_with_both() -> None:
    p = np.array([0.9, 0.5, 0.1, 0.01, 1e-6])
    table = combined(p[:, None], p[None])
    assert (np.diff(table, axis=0) < 0).all() and (np.diff(table, axis=1) < 0).all()
    assert table == pytest.approx(table.T)
    assert np.isfinite(combined(np.array([0.0, 1.0]), np.array([1.0, 0.0]))).all()


def case(first: np.ndarray, added: np.ndarray) -> Case:
    stages = []
    for d in (first, added, np.concatenate([first, added])):
        mean, sd = paired.summary(d)
        stages.append(Case(float(mean), float(sd), len(d)))
    return Case(stages[2].effect, stages[2].sd, stages[2].n, tuple(stages[:2]))


@pytest.mark.parametrize("level", [0.9, 0.98])
def test_the_interval_of_stages_is_what_their_tests_do_not_reject(level: float) -> None:
    alpha = (1 - level) / 2
    for _ in range(20):
        c = case(RNG.normal(0.3, 1, 5), RNG.normal(0.3, 1, 7))
        low, high = interval(c, level)
        assert low < high
        assert above(c, low) == pytest.approx(alpha, rel=1e-6)
        assert below(c, high) == pytest.approx(alpha, rel=1e-6)
        assert (within(c, 1.0) <= alpha) == (-1 < low and high < 1)
        assert (beyond(c, 0.2) <= 2 * alpha) == (low > 0.2 or high < -0.2)


def test_a_control_without_added_seeds_has_the_first_ones_share_of_alpha() -> None:
    first, nothing = Case(1.0, 0.5, 5), Case(float("nan"), float("nan"), 0)
    staged = Case(1.0, 0.5, 5, (first, nothing))
    assert above(staged, 0.0) == pytest.approx(above(first, 0.0) / FIRST)
    low, high = interval(staged, 0.9)
    assert below(staged, high) == pytest.approx(0.05) and low < 1 < high


# The verdict


def sweep(added: int, extend: bool, off: float = 0.0) -> Scores:
    rng = np.random.default_rng(1)
    n = 6 + added
    arms = {
        "none": rng.normal(70, 0.5, n), "forward": rng.normal(80, 0.5, n),
        "reverse": rng.normal(80 + off, 0.5, n), "random": rng.normal(80, 0.5, n),
    }  # fmt: skip
    stages = (tuple(range(6)), *([tuple(range(6, n))] if added else []))
    return scores({a: list(s) for a, s in arms.items()}, stages=stages, extend=extend)


def said(found: Verdict, made: Scores) -> list[str]:
    return [c.says for c in caveats(found, made) if c.kind == "judgement"]


def test_the_first_judgement_of_a_sweep_to_be_extended_has_its_share_of_alpha() -> None:
    found = judge(sweep(0, extend=True), 1.0, 0.05)
    assert found.judgement is not None and found.judgement.number == 1
    assert found.at == pytest.approx(0.04) and found.alpha == 0.05
    alone = judge(sweep(0, extend=False), 1.0, 0.04)
    for h, other in zip(found.hypotheses, alone.hypotheses, strict=True):
        assert h.status == other.status and h.level == pytest.approx(other.level)
        assert h.interval == pytest.approx(other.interval)
    assert any("First judgement" in note for note in found.notes)
    assert not said(found, sweep(0, extend=True))


def test_without_added_seeds_and_without_extension_nothing_is_said() -> None:
    found = judge(sweep(0, extend=False))
    assert found.judgement is None and found.at == 0.05


def test_an_extension_combines_both_stages_and_keeps_h3_of_the_first() -> None:
    made = sweep(6, extend=True, off=0.2)
    found, first = judge(made, 1.0), judge(sweep(0, extend=True), 1.0)
    assert found.judgement is not None and found.judgement.combined
    assert found.judgement.error == 0.05
    (cell,) = found.cells
    for c in cell.to_forward:
        assert [s.n for s in c.stages] == [6, 6] and c.n == 12
        assert c.p_tost == pytest.approx(within(Case(c.effect, c.sd or 0, c.n, c.stages), 1.0))
        assert c.interval is not None and c.interval[0] < c.effect < c.interval[1]
        assert (c.finding == "equivalent") == (-1 < c.interval[0] and c.interval[1] < 1)
    assert cell.hypothesis("H3").n == 6
    assert cell.hypothesis("H3").level == pytest.approx(1 - 2 * 0.04)
    assert first.cells[0].hypothesis("H1").n == 6
    assert any("Extended judgement" in note for note in found.notes) and not said(found, made)


@pytest.mark.parametrize("number", [2, 3])
def test_seeds_added_to_a_final_verdict_make_a_judgement_with_its_own_error(number: int) -> None:
    made = sweep(6, extend=False)
    stages = (*made.stages, (20, 21)) if number == 3 else made.stages
    made = Scores(made.items, made.metric, stages=stages)
    found = judge(made, 1.0)
    assert found.judgement is not None
    assert (found.judgement.number, found.judgement.error) == (number, JOINT[number])
    (line,) = said(found, made)
    assert line.startswith({2: "Second judgement", 3: "Third judgement"}[number])
    assert f"together is about {JOINT[number]:.2g}" in line
    assert found.to_json()["judgement"]["number"] == number
    assert found.at == 0.05  # each over all seeds at all of alpha


def test_more_judgements_than_were_simulated_say_so() -> None:
    found = Judgement.of([(0, 1), (2,), (3,), (4,)], False, 0.05)
    assert found is not None and found.error is None and "4th judgement" in found.says(0.05)
    again = Judgement.of([(0, 1), (2, 3), (4, 5)], True, 0.05)  # beyond what was stated
    assert again is not None and not again.combined and again.error is None


# The simulation


@pytest.mark.parametrize("noise", extended.NOISES)
@pytest.mark.parametrize("sd", [0.5, 1.0])
def test_an_extension_errs_at_most_alpha_where_a_second_judgement_errs_more(
    noise: str, sd: float
) -> None:
    truth = Truth(noise, sd, 1.0, 5)
    found = extended.rates(truth, SWEEPS, seed=0)
    assert extended.faults([(truth, found)], SWEEPS) == []
    assert found.second > found.once and found.third >= found.second


def test_all_of_alpha_twice_would_be_caught() -> None:
    """The checks can fail: a second judgement is above alpha, and the extension would be too."""
    truth = Truth("normal", 1.0, 1.0, 5)
    found = extended.rates(truth, 4 * SWEEPS, seed=0)
    assert found.second > ALPHA + extended.slack(ALPHA, 4 * SWEEPS)
    worse = extended.Rates(**{**vars(found), "extended": found.second})
    assert any("extended" in fault for fault in extended.faults([(truth, worse)], 4 * SWEEPS))
    assert found.decided_extended > found.decided_once
