"""Cosines of parameter gradients: against their definition, their null, and training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from raykd.config.cohort import Cohort
from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.activations import state
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.projections import build_projections, project
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.training.angle_probe import Stored
from raykd.training.imitation import gradients
from raykd.training.imitation.cosines import Agreement
from raykd.training.imitation.gradients import (
    LEAST,
    OTHERS,
    OVERHEAD,
    TOKENS,
    GradientProbe,
    schedule,
)
from raykd.training.imitation.probe import SHARE, measured_loss
from raykd.training.inputs import TrainingInputs
from raykd.training.trainer import CohortTrainer

from ...support.loop import Interrupt, series, told, train
from .conftest import trial_of
from .test_probe import in_units, states_of

KINDS = ["mse", "normalized_mse", "cosine", "paper", "pkd", "standardized_mse"]
NAMES = {"gradient_cosine", "gradient_cosine_null", "gradient_cosine_mean",
         "gradient_cosine_null_mean"}  # fmt: skip


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many measurements as there can be, whatever they cost."""
    monkeypatch.setattr(gradients, "SHARE", 1e6)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("kind", KINDS)
def test_the_cosine_is_that_of_two_backward_passes(
    study: Study, trainer: CohortTrainer, kind: str
) -> None:
    """Over all select rows, one at a time, by `backward`. A loss of more than a token's states is
    replaced by the squared error."""
    trial = trial_of(study, "forward", kind, "random")
    student = Stored(trial, trainer.build(trial), nn.ModuleDict())
    statistics = trainer._statistics(Execution())
    probe = GradientProbe(trainer.teacher, trainer.data, Execution(), statistics)
    measured = probe.measure([student])[0]
    _, teacher = states_of(trainer, trainer.teacher, trainer.data.select)
    loss = hidden_loss(measured_loss(kind)).function
    blocks = stacks(student.model)["encoder"]

    def gradient(block: int, target: int) -> Tensor:
        student.model.zero_grad()
        start = 0
        with ActivationCapture(student.model.eval(), [state(block)]) as capture:
            for row in range(len(trainer.data.select.ids)):
                batch = trainer.data.family.collate(
                    trainer.data.select, np.array([row]), trainer.data.pad
                )
                trainer.data.family.forward(student.model, batch)
                x_ND = capture.values[state(block)][0]
                target_ND = teacher[target][start : start + len(x_ND)]
                own, goal = (in_units(trainer, kind, x, target) for x in (x_ND, target_ND))
                loss(own, goal, 1, 1).backward()
                start += len(x_ND)
        parameters = blocks[block - 1].parameters()
        return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).double()

    depth = trainer.teacher.config.num_hidden_layers
    expected = {
        f"{s.block}_to_{other}": cosine(gradient(s.block, t.block), gradient(s.block, other))
        for s, t in trial.layer_map.pairs()
        for other in (1, depth)
        if other != t.block
    }
    assert {pair: a.cosine for pair, a in measured.items()} == pytest.approx(expected, abs=1e-3)


@pytest.mark.usefixtures("often")
def test_an_unrelated_target_is_the_same_block_at_other_tokens(
    study: Study, trainer: CohortTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the tokens in their own order, the null is the cosine itself."""
    trial = trial_of(study, "forward", init="random")
    student = Stored(trial, trainer.build(trial), nn.ModuleDict())

    def measured() -> list[tuple[float, float]]:
        probe = GradientProbe(trainer.teacher, trainer.data, Execution())
        return [(a.cosine, a.null) for a in probe.measure([student])[0].values()]

    assert all(abs(a - null) > 1e-4 for a, null in measured())
    monkeypatch.setattr(np.random, "default_rng", lambda seed: _InOrder())
    assert all(a == pytest.approx(null, abs=1e-6) for a, null in measured())


class _InOrder:
    def permutation(self, count: int) -> np.ndarray:
        return np.arange(count)


def test_students_without_own_targets_are_not_measured(
    study: Study, trainer: CohortTrainer
) -> None:
    none, control = trial_of(study, "none"), replace(trial_of(study, "forward"), targets="mean")
    students = [Stored(t, trainer.build(t), nn.ModuleDict()) for t in (none, control)]
    probe = GradientProbe(trainer.teacher, trainer.data, Execution())
    assert probe.measure(students) == [{}, {}]


@pytest.mark.usefixtures("often")
def test_a_narrow_student_is_measured_through_its_projections(
    study: Study, trainer: CohortTrainer
) -> None:
    trial = trial_of(study, "forward", init="random")
    trial = replace(trial, shape=replace(trial.shape, width=16))
    model = trainer.build(trial)
    first = trial.layer_map.pairs()[0][0]
    projections = build_projections([first], 16, trainer.teacher.config.hidden_size, 0)
    probe = GradientProbe(trainer.teacher, trainer.data, Execution())
    projected, without = probe.measure(
        [Stored(trial, model, projections), Stored(trial, model, nn.ModuleDict())]
    )
    assert {pair.split("_to_")[0] for pair in projected} == {first.number}
    assert without == {}
    assert project(projections, first, torch.zeros(1, 16)).shape == (1, 32)
    assert all(p.grad is None for p in [*model.parameters(), *projections.parameters()])


@pytest.mark.usefixtures("often")
def test_few_rows_at_a_time_give_the_same_cosines(study: Study, trainer: CohortTrainer) -> None:
    trial = trial_of(study, "forward", "normalized_mse", "random")
    student = Stored(trial, trainer.build(trial), nn.ModuleDict())
    whole, parts = (
        GradientProbe(trainer.teacher, trainer.data, Execution(micro_batch=size)).measure([student])
        for size in (None, 3)
    )
    for pair, measured in whole[0].items():
        assert parts[0][pair] == pytest.approx(measured, rel=1e-3, abs=1e-4)


@pytest.mark.usefixtures("often")
def test_measuring_changes_nothing_about_the_training(
    study: Study, sources: TrainingInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do the students of the same cohort change what is measured."""
    trials = tuple(t for t in confirm_trials(study) if t.seed == 0)
    measured = train(Cohort(trials), sources)
    alone = train(Cohort(trials[1:2]), sources)
    assert told(alone, trials[1]) == told(measured, trials[1])
    names = {k[1].split("/")[0] for k in series(measured, trials[1])}
    assert names >= NAMES
    monkeypatch.setattr(GradientProbe, "__call__", lambda *_: None)
    without = train(Cohort(trials), sources)
    for trial in trials:
        *rest, logged = told(measured, trial)
        kept = {k: v for k, v in logged.items() if k[1].split("/")[0] not in NAMES}
        assert (*rest, kept) == told(without, trial)
        assert (len(kept) < len(logged)) == (trial.strategy != "none")


@pytest.mark.usefixtures("often")
def test_an_interrupted_training_has_the_means_of_a_whole_one(
    study: Study, sources: TrainingInputs, tmp_path: Path
) -> None:
    trials = tuple(t for t in confirm_trials(study) if t.seed == 0 and t.strategy != "none")
    cohort, steps = Cohort(trials), trials[0].training.steps
    whole = train(cohort, sources)
    with pytest.raises(InterruptedError):
        train(cohort, sources, hooks=Interrupt(tmp_path, stop_at=steps // 2))
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert saved["gradients"].keys() == {t.id for t in trials}
    resumed = train(cohort, sources, resume=saved)
    for trial in trials:
        wanted = {k: v for k, v in series(whole, trial).items() if k[0] > saved["step"]}
        assert series(resumed, trial) == wanted
    # A checkpoint of raykd 0.1.0 has no sums.
    older = {k: v for k, v in saved.items() if k != "gradients"}
    assert train(cohort, sources, resume=older).results.keys() == whole.results.keys()


@pytest.mark.usefixtures("often")
def test_the_mean_counts_a_student_that_has_arrived_for_little(
    study: Study, trainer: CohortTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = trial_of(study, "forward")
    student = Stored(trial, trainer.build(trial), nn.ModuleDict())
    probe = GradientProbe(trainer.teacher, trainer.data, Execution())
    steps = sorted(schedule(trial.training, trainer.data).steps)
    values = iter([Agreement(0.9, 0.5, 10.0), Agreement(-0.6, 0.0, 0.1)])
    monkeypatch.setattr(probe, "measure", lambda students, step: [{"1_to_4": next(values)}])
    logged: list[dict[str, float]] = []
    for step in steps[:2]:
        probe([student], step, lambda trial, step, metrics: logged.append(dict(metrics)))
    assert logged[1]["gradient_cosine/1_to_4"] == -0.6
    assert logged[1]["gradient_cosine_mean/1_to_4"] == pytest.approx((9.0 - 0.06) / 10.1)
    assert logged[1]["gradient_cosine_null_mean/1_to_4"] == pytest.approx(5.0 / 10.1)


def test_the_student_and_the_random_streams_are_left_as_they_were(
    study: Study, trainer: CohortTrainer
) -> None:
    trial = trial_of(study, "forward")
    student = Stored(trial, trainer.build(trial).train(), nn.ModuleDict())
    before = {k: v.clone() for k, v in student.model.state_dict().items()}
    stream = torch.random.get_rng_state()
    GradientProbe(trainer.teacher, trainer.data, Execution()).measure([student])
    assert student.model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in student.model.modules())
    assert torch.equal(torch.random.get_rng_state(), stream)
    assert all(torch.equal(v, before[k]) for k, v in student.model.state_dict().items())
    assert all(p.grad is None for p in student.model.parameters())


@given(st.integers(1, 5000), st.integers(1, 64))
def test_measurements_cost_their_share_and_are_spread_over_the_training(
    trainer: CohortTrainer, study: Study, steps: int, batch: int
) -> None:
    """In passes of a token through a block: three of a training step; two forward, and two for each
    gradient of a measurement. The mean of the steps is the middle of the training."""
    training = replace(confirm_trials(study)[0].training, steps=steps, batch=batch)
    plan = schedule(training, trainer.data)
    assert plan.steps and plan.steps <= set(range(1, steps + 1)) and LEAST <= plan.tokens <= TOKENS
    cost = len(plan.steps) * (plan.tokens + OVERHEAD) * (2 + 2 * (1 + 2 * OTHERS))
    affordable = SHARE * 3 * steps * batch * float(trainer.data.train.lengths.mean())
    assert cost <= affordable or (len(plan.steps), plan.tokens) == (1, LEAST)
    assert abs(np.mean([*plan.steps]) - steps / 2) <= 1


def test_one_and_two_workers_share_the_rows(study: Study, trainer: CohortTrainer) -> None:
    """The shares of two workers are disjoint and together those of one."""
    probe = GradientProbe(trainer.teacher, trainer.data, Execution())
    rows = probe._rows(200)
    (whole,) = probe._share(rows)
    shares = []
    for rank in range(2):
        group = replace(Execution().group, rank=rank, world=2)
        other = GradientProbe(trainer.teacher, trainer.data, Execution(group=group))
        shares += other._share(rows)
    assert sorted(np.concatenate([r for r, _ in shares])) == sorted(whole[0])
    places = torch.cat([p for _, p in shares]).sort().values
    assert torch.equal(places, whole[1].sort().values)
