"""The invariants of the training loop for every model class of `model_classes.CASES`, and for the
published methods: cohorts, workers, stored teachers, interruptions, padding, export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raykd.config.cohort import Cohort
from raykd.config.trial import TrialSpec
from raykd.losses.hidden.registry import hidden_loss
from raykd.runtime.execution import Execution
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..support.loop import Interrupt, series, told, train
from ..support.model_classes import CASES, MIXED_DTYPES, Place
from ..support.padded_task import padded_task


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    torch.set_num_threads(1)
    return Place(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def sources(place: Place, case: str) -> TrainingInputs:
    return place.sources(case, dropout=0.1)


@pytest.fixture(scope="module")
def cohort(place: Place, case: str) -> Cohort:
    return place.cohort(case)


class Keeping(Memory):
    """Has the folder of a finished student loaded again before it is gone."""

    def __init__(self, materials: CohortTrainer) -> None:
        super().__init__()
        self._materials = materials
        self.said: dict[str, np.ndarray] = {}

    def finish(self, trial: TrialSpec, result: Any) -> None:
        super().finish(trial, result)
        if result.student is not None:
            data = self._materials.data
            model = data.family.auto.from_pretrained(result.student).eval()
            self.said[trial.id] = data.family.evaluate(model, data.test, data, Execution())


@pytest.fixture(scope="module")
def materials(sources: TrainingInputs) -> CohortTrainer:
    return CohortTrainer.load(sources, Execution())


@pytest.fixture(scope="module")
def whole(materials: CohortTrainer, cohort: Cohort) -> Keeping:
    """The cohort trained in one go, with dropout, under a live teacher."""
    memory = Keeping(materials)
    materials.run(cohort, memory, keep=frozenset(t.id for t in cohort.trials[-1:]))
    return memory


@pytest.fixture(scope="module")
def dry(place: Place, case: str) -> CohortTrainer:
    """The class without dropout."""
    return CohortTrainer.load(place.sources(case, dropout=0.0), Execution())


@pytest.fixture(scope="module")
def plain(dry: CohortTrainer, cohort: Cohort) -> Memory:
    """The cohort trained without dropout, by one worker, a batch at a time."""
    memory = Memory()
    dry.run(cohort, memory)
    return memory


@pytest.fixture(scope="module")
def by_two(place: Place) -> dict[str, Any]:
    """What the first of two workers told of each class, over real processes."""
    cases = [*CASES, *MIXED_DTYPES]
    for case in cases:
        place.sources(case, dropout=0.0)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.two_workers", place.root, *cases],
        cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return dict(zip(cases, map(json.loads, done.stdout.splitlines()), strict=True))


def curve(memory: Memory, trial: TrialSpec) -> dict[tuple[int, str], float]:
    """The losses: a score of few rows jumps where a rounding error turns one of them."""
    return {k: v for k, v in series(memory, trial).items() if not k[1].startswith("select_")}


def test_alone_and_in_a_cohort_a_trial_is_the_same_bitwise(
    materials: CohortTrainer, cohort: Cohort, whole: Memory
) -> None:
    """Invariant 1, with dropout on."""
    for trial in cohort.trials:
        alone = Memory()
        materials.run(Cohort((trial,)), alone)
        assert told(alone, trial) == told(whole, trial)


def test_two_workers_give_the_loss_curve_of_one(
    case: str, cohort: Cohort, plain: Memory, by_two: dict[str, Any]
) -> None:
    """Invariant 2; and the workers share out the rows that a student is scored by."""
    both = Memory(metrics=by_two[case])
    for trial in cohort.trials:
        of = curve if trial.init.kind == "random" else series  # a copied one answers decidedly
        assert of(both, trial) == pytest.approx(of(plain, trial), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("mixed", MIXED_DTYPES)
def test_two_workers_sum_gradients_of_two_dtypes(
    place: Place, mixed: str, by_two: dict[str, Any]
) -> None:
    """Students in bf16 with projections and methods' weights in fp32: the curve of one worker, to
    the rounding of bf16."""
    cohort, alone = place.cohort(mixed), Memory()
    CohortTrainer.load(place.sources(mixed, dropout=0.0), Execution()).run(cohort, alone)
    for trial in cohort.trials:
        assert trial.training.weights == "bf16"
        found = curve(Memory(metrics=by_two[mixed]), trial)
        assert found == pytest.approx(curve(alone, trial), rel=3e-2, abs=1e-2)


def test_a_stored_teacher_gives_the_losses_of_a_live_one(
    sources: TrainingInputs, cohort: Cohort, whole: Memory, tmp_path: Path
) -> None:
    """Invariant 3: cross entropy and KL to rounding, hidden losses to the storage's precision."""
    states = tuple(sorted({s for t in cohort.trials for s in t.teacher_states}))
    stored = replace(sources, source="cached", cache=str(tmp_path), states=states)
    cached = train(cohort, stored)
    for trial in cohort.trials:
        assert cached.opened[trial.id]["teacher_source"] == "cached float16"
        a, b = curve(whole, trial), curve(cached, trial)
        assert b == pytest.approx(a, rel=1e-2, abs=1e-3)
        if trial.layer_map.pairs():  # what is compared is not one and the same
            assert any(a[k] != b[k] for k in a if k[1] == "hidden")
        first = min(step for step, _ in a)
        for term in ("ce", "kl"):
            assert b[first, term] == pytest.approx(a[first, term], rel=1e-4, abs=1e-6)


def test_an_interrupted_cohort_ends_as_if_it_had_not_been(
    materials: CohortTrainer,
    sources: TrainingInputs,
    cohort: Cohort,
    whole: Memory,
    tmp_path: Path,
) -> None:
    """Invariant 4: the interruption is in the second epoch, and all is loaded again."""
    with pytest.raises(InterruptedError):
        materials.run(cohort, Memory(), hooks=Interrupt(tmp_path, 4))
    resume = torch.load(tmp_path / "state.pt", weights_only=True)
    assert resume["step"] == 4
    again = train(cohort, sources, resume=resume)
    for trial in cohort.trials:
        assert told(again, trial)[:2] == told(whole, trial)[:2]
        late = {k: v for k, v in series(whole, trial).items() if k[0] > 4}
        assert series(again, trial) == late


def padded(materials: CohortTrainer) -> CohortTrainer:
    """Every batch as long as the model can read."""
    family = materials.data.family
    longer = padded_task(family, 60)
    return replace(materials, data=replace(materials.data, family=longer))


def test_padding_and_parts_change_no_loss(
    dry: CohortTrainer, case: str, cohort: Cohort, plain: Memory
) -> None:
    """Invariant 6, in parts of a batch, the last one smaller: they add up to it. A loss of a whole
    batch is not computed in parts."""
    long = Memory()
    divisible = all(hidden_loss(t.loss.kind).divisible for t in cohort.trials)
    where = Execution(micro_batch=6 if divisible else None)
    replace(padded(dry), where=where).run(cohort, long)
    for trial in cohort.trials:
        rounding = 1e-3 if "fp16" in case else 1e-4
        assert curve(long, trial) == pytest.approx(curve(plain, trial), rel=1e-3, abs=rounding)


def test_a_finished_student_loads_in_plain_transformers(
    whole: Keeping, cohort: Cohort, materials: CohortTrainer
) -> None:
    """Its folder answers as the student did when it was scored."""
    trial, data = cohort.trials[-1], materials.data
    score = data.family.score(trial.metric, whole.said[trial.id], data.test_labels())
    assert score == whole.results[trial.id].metrics[f"test_{trial.metric}"]
