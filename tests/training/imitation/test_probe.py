"""R² of what students imitate: against its definition, its reference points and training."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.data.encoded import Encoded
from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.activations import state
from raykd.models.capture import ActivationCapture
from raykd.models.projections import build_projections
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.training import distill
from raykd.training.angle_probe import Stored
from raykd.training.early_stopping import marks
from raykd.training.imitation.lines import TOKENS, measure_lines, row_batches
from raykd.training.imitation.probe import SHARE, ImitationProbe, measured_steps
from raykd.training.inputs import TrainingInputs
from raykd.training.trainer import CohortTrainer

from ...support.loop import told, train
from .conftest import trial_of

KINDS = ["mse", "normalized_mse", "cosine", "standardized_mse"]


def measure(trainer: CohortTrainer, *students: Stored) -> list[dict[str, float]]:
    where = Execution()
    statistics = trainer._statistics(where)
    probe = ImitationProbe(
        trainer.teacher, trainer.data, where,
        lambda kind: measure_lines(kind, trainer.teacher, trainer.data, where, statistics),
        statistics,
    )  # fmt: skip
    return probe.measure(students)


def in_units(trainer: CohortTrainer, kind: str, x_ND: Tensor, block: int) -> Tensor:
    """States as a kind compares them with a teacher block, before its function."""
    if not hidden_loss(kind).standardized:
        return x_ND
    return trainer._statistics(Execution())[state(block)].standardize(x_ND)


def states_of(
    trainer: CohortTrainer, model: PreTrainedModel, encoded: Encoded
) -> tuple[Tensor, dict[int, Tensor]]:
    """The ids and states of every token of a split, by a pass over one row at a time."""
    blocks = [state(block) for block in range(1, model.config.num_hidden_layers + 1)]
    ids, by_block = [], dict[int, list[Tensor]]()
    with torch.no_grad(), ActivationCapture(model.eval(), blocks) as capture:
        for row in range(len(encoded.ids)):
            batch = trainer.data.family.collate(encoded, np.array([row]), trainer.data.pad)
            trainer.data.family.forward(model, batch)
            ids.append(batch.inputs["input_ids"][0])
            for activation, x_BTD in capture.values.items():
                by_block.setdefault(activation.block, []).append(x_BTD[0].clone())
    return torch.cat(ids), {block: torch.cat(parts) for block, parts in by_block.items()}


def loss(kind: str, student_ND: Tensor, teacher_ND: Tensor) -> float:
    function = hidden_loss(kind).function
    return float(function(student_ND.double(), teacher_ND.double(), len(teacher_ND), 1))


def best_constant(kind: str, teacher_ND: Tensor) -> float:
    """The smallest loss of a constant, found by descent on the loss itself. A loss that normalises
    gets constants of one length: at 0, where there is no direction, its rounding has a minimum."""
    c_D = teacher_ND.mean(0).clone().requires_grad_()
    length = float(c_D.detach().norm())

    def constant() -> Tensor:
        return c_D if kind == "mse" else c_D * (length / c_D.norm())

    optimizer = torch.optim.LBFGS([c_D], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        function = hidden_loss(kind).function
        value = function(constant().expand_as(teacher_ND), teacher_ND, len(teacher_ND), 1)
        value.backward()
        return value

    optimizer.step(closure)
    return loss(kind, constant().detach().expand_as(teacher_ND), teacher_ND)


@pytest.mark.parametrize("kind", KINDS)
def test_r2_is_one_minus_the_loss_over_that_of_the_best_constant(
    study: Study, trainer: CohortTrainer, kind: str
) -> None:
    trial = trial_of(study, "forward", kind, "random")
    student = Stored(trial, trainer.build(trial), nn.ModuleDict())
    (metrics,) = measure(trainer, student)
    _, teacher = states_of(trainer, trainer.teacher, trainer.data.select)
    _, states = states_of(trainer, student.model, trainer.data.select)
    for s, t in itertools.product(states, teacher):
        own, target = (in_units(trainer, kind, x, t) for x in (states[s], teacher[t]))
        expected = 1 - loss(kind, own, target) / best_constant(kind, target)
        assert metrics[f"r2/{s}_to_{t}"] == pytest.approx(expected, abs=2e-3)
    assert len(metrics) == len(states) * len(teacher) + len(teacher)


@pytest.mark.parametrize("kind", KINDS)
def test_the_lookup_knows_the_token_and_nothing_else(trainer: CohortTrainer, kind: str) -> None:
    statistics = trainer._statistics(Execution())
    lines = measure_lines(kind, trainer.teacher, trainer.data, Execution(), statistics)
    space = hidden_loss(kind).space or (lambda x: x)
    train_ids, train_states = states_of(trainer, trainer.teacher, trainer.data.train)
    ids, states_ND = states_of(trainer, trainer.teacher, trainer.data.select)
    for block, x_ND in states_ND.items():
        images_ND, train_ND = (
            space(in_units(trainer, kind, x, block)) for x in (x_ND, train_states[block])
        )
        expected = 0.0
        for token, image_D in zip(ids, images_ND, strict=True):
            same = train_ids == token
            mean_D = (train_ND[same] if same.any() else train_ND).mean(0, keepdim=True)
            expected += float((space(mean_D)[0] - image_D).square().sum())
        assert lines.lookup[str(block)] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_teacher_imitates_itself(study: Study, trainer: CohortTrainer, kind: str) -> None:
    depth = trainer.teacher.config.num_hidden_layers
    teacher = Stored(trial_of(study, "forward", kind), trainer.teacher, nn.ModuleDict())
    (metrics,) = measure(trainer, teacher)
    for block in range(1, depth + 1):
        assert metrics[f"r2/{block}_to_{block}"] == pytest.approx(1, abs=1e-5)


def test_a_constant_of_any_length_has_an_r2_of_at_most_zero(
    study: Study, trainer: CohortTrainer
) -> None:
    """And the teacher's own mean state one of zero."""
    for kind in KINDS:
        _, states_ND = states_of(trainer, trainer.teacher, trainer.data.select)
        for x_ND in states_ND.values():
            zero = best_constant(kind, x_ND)
            assert loss(kind, 2 * x_ND.mean(0).expand_as(x_ND), x_ND) >= zero * (1 - 1e-5)


def test_a_narrow_student_is_measured_through_its_projections(
    study: Study, trainer: CohortTrainer
) -> None:
    """A student without projections has no state in the teacher's width."""
    trial = trial_of(study, "forward", init="random")
    trial = replace(trial, shape=replace(trial.shape, width=16))
    model = trainer.build(trial)
    matched = [s for s, _ in trial.layer_map.pairs()]
    projections = build_projections(matched[:1], 16, trainer.teacher.config.hidden_size, 0)
    projected, without = measure(
        trainer, Stored(trial, model, projections), Stored(trial, model, nn.ModuleDict())
    )
    assert {name.split("_to_")[0] for name in projected if "_to_" in name} == {
        f"r2/{matched[0].number}"
    }
    assert without == {}


def test_measuring_changes_nothing_about_the_training(
    study: Study, sources: TrainingInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do the students of the same cohort change what is measured."""
    trials = tuple(t for t in confirm_trials(study) if t.seed == 0)
    measured = train(Cohort(trials), sources)
    alone = train(Cohort(trials[1:2]), sources)
    assert told(alone, trials[1]) == told(measured, trials[1])
    monkeypatch.setattr(distill, "measured_steps", lambda *_: frozenset())
    without = train(Cohort(trials), sources)
    for trial in trials:
        *rest, series = told(measured, trial)
        kept = {k: v for k, v in series.items() if not k[1].startswith("r2")}
        assert (*rest, kept) == told(without, trial)
        assert len(kept) < len(series)


def test_the_student_and_the_random_streams_are_left_as_they_were(
    study: Study, trainer: CohortTrainer
) -> None:
    trial = trial_of(study, "forward")
    student = Stored(trial, trainer.build(trial).train(), nn.ModuleDict())
    before = {k: v.clone() for k, v in student.model.state_dict().items()}
    stream = torch.random.get_rng_state()
    measure(trainer, student)
    assert student.model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in student.model.modules())
    assert torch.equal(torch.random.get_rng_state(), stream)
    assert all(torch.equal(v, before[k]) for k, v in student.model.state_dict().items())


@given(st.lists(st.integers(1, 200), min_size=1, max_size=300), st.integers(1, 9000))
def test_rows_hold_the_tokens_that_are_asked_for(lengths: list[int], tokens: int) -> None:
    offsets = np.cumsum([0, *lengths])
    encoded = Encoded("", np.zeros(offsets[-1]), offsets, None, None, np.arange(len(lengths)))
    rows = np.concatenate(row_batches(encoded, tokens))
    assert len(set(rows)) == len(rows)
    assert encoded.lengths[rows].sum() >= min(tokens, sum(lengths))


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(1, 40))
def test_students_are_measured_at_evaluations_and_at_the_end(
    trainer: CohortTrainer, study: Study, steps: int, batch: int, evaluations: int
) -> None:
    """More often than once only where all measurements cost at most their share: each is about two
    forward passes over its tokens, and a training step about three over a batch."""
    training = confirm_trials(study)[0].training
    training = replace(training, steps=steps, batch=batch, evaluations=evaluations)
    chosen = measured_steps(training, trainer.data, marks(steps, evaluations))
    assert chosen <= marks(steps, evaluations) and max(chosen) == steps
    lengths = trainer.data.train.lengths
    cost = 2 * len(chosen) * min(TOKENS, int(trainer.data.select.lengths.sum()))
    assert len(chosen) == 1 or cost <= SHARE * 3 * steps * batch * lengths.mean()
