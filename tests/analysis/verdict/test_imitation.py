"""What students imitated: means by pair, whether targets are distinguished, and the caveats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy import stats

from raykd.analysis.verdict.context import Imitation
from raykd.analysis.verdict.imitation import MEAN_STATE, add_imitation, from_trials
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Verdict

from ..made import scores

MAPS = {"none": (None, None), "forward": (1, 2), "reverse": (2, 1)}
ARMS = {name: [80.0, 81.0, 82.0] for name in MAPS}


@dataclass(frozen=True)
class Trial:
    strategy: str
    seed: int
    metrics: Mapping[str, float]
    phase: str = "confirm"
    status: str = "finished"
    trial: str = "t"
    init: str = "copied"
    error: str | None = None
    params: Mapping[str, str] = field(default_factory=lambda: {"depth": "2", "loss_hidden": "1"})

    @property
    def map(self) -> str:
        return f"[{', '.join('null' if b is None else str(b) for b in MAPS[self.strategy])}]"


def trials(matched: float, elsewhere: float, noise: float = 0.01) -> list[Trial]:
    """Students that reach `matched` on the teacher block that they are matched to."""
    rng = np.random.default_rng(0)
    made = []
    for name, blocks in MAPS.items():
        for seed in range(3):
            metrics = {
                f"r2/{s}_to_{t}": (matched if block == t else elsewhere) + noise * rng.normal()
                for s, block in enumerate(blocks, 1)
                for t in (1, 2)
            }
            made.append(Trial(name, seed, {**metrics, "r2_lookup/1": 0.4, "r2_lookup/2": 0.3}))
    return made


def verdict_of(runs: list[Trial], **options: object) -> tuple[Verdict, Imitation]:
    verdict = judge(scores(ARMS, shape="2"), 1.0)
    cell = verdict.cells[0]
    students = from_trials(runs, cell.task, **options)  # type: ignore[arg-type]
    verdict = add_imitation(verdict, students)
    imitation = verdict.cells[0].imitation
    assert imitation is not None
    return verdict, imitation


def kinds(verdict: Verdict) -> list[str]:
    return [c.kind for c in verdict.caveats]


def test_a_pair_is_a_mean_over_seeds_with_its_interval() -> None:
    runs = trials(0.6, 0.2)
    _, imitation = verdict_of(runs)
    assert [(p.strategy, p.student, p.teacher) for p in imitation.pairs] == [
        ("forward", "1", "1"), ("forward", "2", "2"), ("reverse", "1", "2"), ("reverse", "2", "1"),
    ]  # fmt: skip
    for pair in imitation.pairs:
        name = f"r2/{pair.student}_to_{pair.teacher}"
        values = [t.metrics[name] for t in runs if t.strategy == pair.strategy]
        assert pair.r2 == pytest.approx(np.mean(values))
        interval = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        assert pair.interval == pytest.approx(interval)
        none = [t.metrics[name] for t in runs if t.strategy == "none"]
        assert pair.unmatched == pytest.approx(np.mean(none))
        assert pair.lookup == {"1": 0.4, "2": 0.3}[pair.teacher]


def test_the_gain_of_a_target_is_paired_by_student_block_and_seed() -> None:
    """Students that imitate one block better throughout do not make its targets distinct."""
    runs = trials(0.6, 0.2, noise=0.0)
    _, imitation = verdict_of(runs)
    assert {g.teacher: g.gain for g in imitation.gains} == pytest.approx({"1": 0.4, "2": 0.4})
    shifted = [
        Trial(t.strategy, t.seed, {k: v + 0.3 * ("r2/2" in k) for k, v in t.metrics.items()})
        for t in runs
    ]
    _, imitation = verdict_of(shifted)
    assert {g.teacher: g.gain for g in imitation.gains} == pytest.approx({"1": 0.4, "2": 0.4})


def test_students_that_imitate_their_targets_give_no_caveat() -> None:
    assert kinds(verdict_of(trials(0.6, 0.2))[0]) == []


def test_the_mean_state_alone_is_a_caveat_and_comes_first() -> None:
    verdict, _ = verdict_of(trials(MEAN_STATE - 0.05, -0.4))
    assert kinds(verdict) == ["mean_state"]
    assert "forward 0.05, reverse 0.05" in verdict.caveats[0].says


@pytest.mark.parametrize(
    ("schedule", "advice"),
    [
        ("", "train them longer"),
        ("until 0.5: ce 1, kl 1, hidden 0; until 1: ce 1, kl 1, hidden 1", "train them longer"),
        ("until 1: ce 1, kl 1, hidden 0.5", "train them longer"),
        ("until 0.5: ce 0, kl 0, hidden 1; until 1: ce 1, kl 1, hidden 0", "ends without"),
        ("until 1: ce 1, kl 1, hidden 1 to 0", "ends without"),
    ],
)
def test_longer_training_is_no_advice_where_matching_ends_before_it(
    schedule: str, advice: str
) -> None:
    runs = trials(MEAN_STATE - 0.05, -0.4)
    runs = [replace(t, params={**t.params, "loss_schedule": schedule}) for t in runs]
    assert advice in verdict_of(runs)[0].caveats[0].says


def test_targets_that_are_imitated_alike_are_a_caveat() -> None:
    verdict, _ = verdict_of(trials(0.5, 0.5))
    assert kinds(verdict) == ["targets_alike"]
    assert "teacher blocks 1, 2" in verdict.caveats[0].says


def test_controls_imitate_other_targets_and_do_not_count() -> None:
    runs = [t for t in trials(0.6, 0.2) if t.strategy != "reverse"]
    low = [Trial("reverse", t.seed, {k: -1.0 for k in t.metrics}) for t in runs]
    verdict, imitation = verdict_of([*runs, *low], controls=["reverse"])
    assert imitation.gains == ()
    assert kinds(verdict) == []


def test_runs_of_older_versions_hold_no_measurement() -> None:
    old = [Trial(t.strategy, t.seed, {"test_accuracy": 80.0}) for t in trials(0.6, 0.2)]
    verdict = judge(scores(ARMS, shape="2"), 1.0)
    assert add_imitation(verdict, from_trials(old, verdict.cells[0].task)) == verdict


def test_only_finished_confirm_trials_count() -> None:
    runs = trials(0.6, 0.2)
    others = [
        Trial("forward", 9, runs[0].metrics, phase="explore"),
        Trial("forward", 9, runs[0].metrics, status="failed"),
    ]
    assert from_trials(others, "t") == ()
