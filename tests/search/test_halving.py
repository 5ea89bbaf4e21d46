"""Rungs: who leaves a cohort when, and that it changes nothing for those who stay."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.maps.layer_map import LayerMap
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import explore_trial
from raykd.search.halving import SuccessiveHalving
from raykd.sweep.fine_tune import fine_tune
from raykd.training.hooks import NoHooks, TeacherTiming
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory

from ..support.loop import run_cohort
from ..support.world import write_sweep

rungs = st.builds(
    SuccessiveHalving,
    at=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True).map(
        lambda x: tuple(sorted(x))
    ),
    drop=st.floats(0.05, 0.95),
)
scores = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.floats(0, 100), min_size=1)


@given(rungs, scores)
def test_the_worst_leave_and_someone_always_stays(
    rungs: SuccessiveHalving, scores: dict[str, float]
) -> None:
    alive = dict(scores)
    for rung in range(len(rungs.at)):
        out = rungs.losers(alive, len(scores), rung)
        stay = {t: s for t, s in alive.items() if t not in out}
        assert stay and set(out) <= set(alive)
        assert not out or max(alive[t] for t in out) <= min(stay.values())
        # Replayed after an interruption, with those gone who have left, it drops no one more.
        assert rungs.losers(stay, len(scores), rung) == []
        alive = stay


@given(rungs, st.integers(2, 500))
def test_rungs_lie_inside_the_training(rungs: SuccessiveHalving, length: int) -> None:
    assert all(1 <= step < length for step in rungs.steps(length))


def test_a_halving() -> None:
    half = SuccessiveHalving((0.25, 0.5), 0.5)
    assert half.steps(100) == {25: 0, 50: 1}
    assert [half.keep(8, rung) for rung in (0, 1, 2, 3)] == [4, 2, 1, 1]
    assert half.losers({"a": 1, "b": 3, "c": 2, "d": 3}, 4, 0) == ["c", "a"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    sweep = write_sweep(folder, explore={"maps": 8})
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


MAPS = [LayerMap(m) for m in ((1, 1), (2, 4), (4, 4), (3, 1), (1, 4))]
TIMES = {"seconds", "teacher_seconds", "examples_per_second", "peak_memory_mb"}


def told(memory: Memory, trial: str) -> Any:
    result = memory.results[trial]
    return {k: v for k, v in result.metrics.items() if k not in TIMES}, dict(result.predictions)


def test_the_pruned_end_early_and_the_rest_as_without(
    study: Study, sources: TrainingInputs
) -> None:
    torch.set_num_threads(1)
    cohort = Cohort(tuple(explore_trial(study, m) for m in MAPS))
    whole, pruned = Memory(), Memory()
    run_cohort(cohort, sources, whole)
    run_cohort(cohort, sources, pruned, rungs=SuccessiveHalving((0.4, 0.7), 0.5))
    assert len(pruned.pruned) == 3 and len(pruned.results) == 2
    assert sorted(step for step, _ in pruned.pruned.values()) == [5, 5, 8]
    for trial in cohort.trials:
        assert (trial.id in pruned.pruned) != (trial.id in pruned.results)
        if trial.id in pruned.results:
            assert told(pruned, trial.id) == told(whole, trial.id)
        else:
            step, score = pruned.pruned[trial.id]
            assert max(s for s, _ in pruned.metrics[trial.id]) == step
            assert (step, {"select_accuracy": score}) in pruned.metrics[trial.id]


def test_rows_are_counted_for_the_students_that_learn(
    study: Study, sources: TrainingInputs
) -> None:
    """By the cohort's hooks, which is what rates are made of."""
    told: list[tuple[int, int, int]] = [(0, 0, 0)]

    class Counts(NoHooks):
        def progress(self, step: int, examples: int, scores: Any, taught: TeacherTiming) -> None:
            told.append((step, examples, taught.rows))

    cohort, memory = Cohort(tuple(explore_trial(study, m) for m in MAPS)), Memory()
    run_cohort(cohort, sources, memory, hooks=Counts(), rungs=SuccessiveHalving((0.4, 0.7), 0.5))
    steps = cohort.trials[0].training.steps
    left = [memory.pruned[t.id][0] if t.id in memory.pruned else steps for t in cohort.trials]
    for (_, _, before), (step, examples, rows) in pairwise(told):  # nobody leaves in between
        assert rows > before
        assert examples == (rows - before) * sum(end >= step for end in left)
    assert told[-1][0] == steps


def test_a_lone_student_is_never_pruned(study: Study, sources: TrainingInputs) -> None:
    memory = Memory()
    lone = Cohort((explore_trial(study, MAPS[0]),))
    run_cohort(lone, sources, memory, rungs=SuccessiveHalving((0.5,), 0.9))
    assert len(memory.results) == 1 and not memory.pruned


def test_interrupted_after_a_rung_it_drops_no_one_twice(
    study: Study, sources: TrainingInputs, tmp_path: Path
) -> None:
    """The checkpoint is older than the rung: what the ledger holds as pruned stays out of it."""
    cohort = Cohort(tuple(explore_trial(study, m) for m in MAPS))
    rungs = SuccessiveHalving((0.5,), 0.5)

    class Stop(Exception):
        pass

    class Hooks(NoHooks):
        state: Any = None

        def progress(self, step: int, examples: int, scores: Any, taught: Any) -> None:
            if step > 6:
                raise Stop

        def checkpoint(self, step: int, state: Any) -> None:
            if step == 4:
                torch.save(state(), tmp_path / "state.pt")

    whole = Memory()
    run_cohort(cohort, sources, whole, rungs=rungs)
    memory = Memory()
    with pytest.raises(Stop):
        run_cohort(cohort, sources, memory, rungs=rungs, hooks=Hooks())
    assert len(memory.pruned) == 2 and not memory.results
    resume = torch.load(tmp_path / "state.pt", weights_only=True)
    run_cohort(cohort, sources, memory, rungs=rungs, resume=resume)
    assert memory.pruned == whole.pruned and memory.results.keys() == whole.results.keys()
    assert all(told(memory, t) == told(whole, t) for t in memory.results)
