"""`standardized_mse`: its statistics, its formula position by position, and training with it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import Init, Shape, TrialSpec
from raykd.data.batches import Batch, shard
from raykd.data.encoded import Encoded
from raykd.losses.hidden.statistics import LEAST, FeatureStatistics, Statistics
from raykd.maps.activations import Activation, state
from raykd.maps.layer_map import LayerMap
from raykd.models.student import build_student, width
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.tasks.classification import Classification
from raykd.teachers.fill_cache import Filler
from raykd.teachers.state_statistics import STATISTICS_ROWS, state_statistics
from raykd.teachers.targets import LiveTeacher
from raykd.training import trainer
from raykd.training.inputs import TrainingInputs
from raykd.training.learner import Learner
from raykd.training.recorder import Memory

from ...data.test_batches import encoded
from ...support.loop import Interrupt, told, train
from ...support.specs import spec
from ...support.tiny_models import tiny_model
from ...support.world import write_sweep

KIND = "standardized_mse"
LENGTHS = np.random.default_rng(2).integers(1, 30, 40)
LAYER_MAP = LayerMap((4, 2), embedding=0)


@pytest.fixture(scope="module")
def teacher() -> PreTrainedModel:
    torch.set_num_threads(1)
    model = tiny_model("bert", blocks=4, labels=2, dropout=0.0)
    g = torch.Generator().manual_seed(0)
    for block in model.bert.encoder.layer:  # features of very different sizes and offsets
        torch.nn.init.uniform_(block.output.LayerNorm.weight, 0.5, 9, generator=g)
        torch.nn.init.uniform_(block.output.LayerNorm.bias, -5, 5, generator=g)
    return model


@pytest.fixture(scope="module")
def rows() -> Encoded:
    made = encoded(LENGTHS)
    return replace(made, labels=np.arange(len(LENGTHS)) % 2)


@pytest.fixture(scope="module")
def statistics(teacher: PreTrainedModel, rows: Encoded) -> Statistics:
    filler = Filler(teacher, rows, 0, torch.device("cpu"), nullcontext, Classification())
    return state_statistics(filler)


def states_of(model: PreTrainedModel, rows: Encoded, number: int) -> list[Tensor]:
    """What transformers returns as state `number` of each row, x_TD, one row at a time."""
    states = []
    with torch.no_grad():
        for row in range(len(rows.ids)):
            batch = Classification().collate(rows, np.array([row]), 0)
            output = model.eval()(**batch.inputs, output_hidden_states=True)
            states.append(output.hidden_states[number][0])
    return states


def learner_of(
    teacher: PreTrainedModel, statistics: Statistics, narrow: int | None = None
) -> tuple[TrialSpec, Learner]:
    shape = Shape(2, width=narrow)
    trial = spec(shape=shape, layer_map=LAYER_MAP, kind=KIND, ce=0.0, kl=0.0)
    student = build_student(teacher, shape, Init("random"), 0)
    learner = Learner(
        trial, student, Classification(), width(teacher), Execution(),
        statistics=statistics,
    )  # fmt: skip
    return trial, learner


def collated(rows: Encoded, share: np.ndarray, whole: np.ndarray) -> Batch:
    return Classification().collate(rows, share, 0, whole)


def test_statistics_are_those_of_the_teachers_tokens(
    teacher: PreTrainedModel, rows: Encoded, statistics: Statistics
) -> None:
    assert len(rows.ids) <= STATISTICS_ROWS
    for number in range(5):
        x_ND = torch.cat(states_of(teacher, rows, number)).double().numpy()
        of_state = statistics[state(number)]
        np.testing.assert_allclose(of_state.mean_D, x_ND.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(of_state.deviation_D, x_ND.std(0), rtol=1e-3)


@pytest.mark.parametrize("narrow", [None, 16])
def test_the_loss_is_its_formula_token_by_token_and_feature_by_feature(
    teacher: PreTrainedModel, rows: Encoded, statistics: Statistics, narrow: int | None
) -> None:
    """(1 / M) sum over pairs of (1 / (N D)) sum over tokens and features of
    ((s - mean) / deviation - (t - mean) / deviation)^2, written out with numpy."""
    trial, learner = learner_of(teacher, statistics, narrow)
    whole = np.arange(6)
    few = replace(rows, ids=rows.ids[:6])
    batch = collated(rows, whole, whole)
    learner.model.eval()
    learner.model.train = lambda mode=True: learner.model  # type: ignore[method-assign]
    live = LiveTeacher(teacher, trial.teacher_states, Classification(), nullcontext())
    learner.backward(batch, live(batch), 0)
    live.close()
    losses = []
    for s, t in LAYER_MAP.pairs():
        sample = torch.cat(states_of(teacher, rows, int(t.number))).double().numpy()
        mean_D, deviation_D = sample.mean(0), sample.std(0)
        total, tokens = 0.0, 0
        for own, target in zip(states_of(learner.model, few, int(s.number)),
                               states_of(teacher, few, int(t.number)), strict=True):  # fmt: skip
            if len(learner.projections):
                own = own @ learner.projections[s.number].weight.detach().T  # type: ignore[operator]
            for s_D, t_D in zip(own.double().numpy(), target.double().numpy(), strict=True):
                tokens += 1
                for d in range(len(t_D)):
                    a = (s_D[d] - mean_D[d]) / deviation_D[d]
                    b = (t_D[d] - mean_D[d]) / deviation_D[d]
                    total += (a - b) ** 2
        losses.append(total / (tokens * len(mean_D)))
    terms = learner.mean_losses()
    assert terms["hidden"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert [terms[f"hidden_{s.number}_to_{t.number}"] for s, t in LAYER_MAP.pairs()] == (
        pytest.approx(losses, rel=1e-4)
    )


def test_the_mean_state_has_a_loss_of_one_and_r2_is_one_minus_the_loss(
    teacher: PreTrainedModel, rows: Encoded, statistics: Statistics
) -> None:
    x_ND, of_state = torch.cat(states_of(teacher, rows, 3)), statistics[state(3)]
    mean_ND = of_state.mean_D.expand_as(x_ND)
    assert of_state.standardize(x_ND).square().mean().item() == pytest.approx(1, rel=1e-3)
    guess_ND = x_ND + of_state.deviation_D * torch.randn_like(x_ND) / 2
    own, target = of_state.standardize(guess_ND), of_state.standardize(x_ND)
    r2_D = 1 - (guess_ND - x_ND).square().sum(0) / (mean_ND - x_ND).square().sum(0)
    assert (own - target).square().mean().item() == pytest.approx(1 - r2_D.mean().item(), rel=1e-3)


@given(seed=st.integers(0, 999), scale=st.floats(0.01, 100), offset=st.floats(-99, 99))
def test_units_of_the_features_do_not_matter(seed: int, scale: float, offset: float) -> None:
    """A feature in other units, in both models, has the same standardised values."""
    g = torch.Generator().manual_seed(seed)
    x_ND, other_ND = torch.randn(50, 6, generator=g), torch.randn(50, 6, generator=g)
    units_D, zero_D = torch.linspace(scale, 2 * scale, 6), torch.full((6,), offset * scale)

    def difference(change: bool) -> Tensor:
        told, own = (x * units_D + zero_D if change else x for x in (x_ND, other_ND))
        doubles = told.double()
        of_state = FeatureStatistics.of_sums(50, doubles.sum(0), doubles.square().sum(0))
        return of_state.standardize(own) - of_state.standardize(told)

    torch.testing.assert_close(difference(True), difference(False), rtol=1e-2, atol=1e-3)


def test_a_constant_feature_has_a_finite_weight() -> None:
    x_ND = torch.randn(100, 8).double()
    x_ND[:, 3] = 7
    for values_ND in (x_ND, torch.full_like(x_ND, 7)):
        of_state = FeatureStatistics.of_sums(100, values_ND.sum(0), values_ND.square().sum(0))
        assert of_state.deviation_D.min() > 0
        assert torch.isfinite(of_state.standardize(values_ND + 1)).all()
    of_state = FeatureStatistics.of_sums(100, x_ND.sum(0), x_ND.square().sum(0))
    spread = float(x_ND.var(0, correction=0).mean().sqrt())
    assert of_state.deviation_D[3].item() == pytest.approx(LEAST * spread, rel=1e-4)


# In training


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    strategies = [
        "forward",
        "reverse",
        *({"targets": t} for t in ("untrained", "shuffled", "mean")),
    ]
    sweep = write_sweep(
        folder, losses={"kind": KIND}, confirm={"strategies": strategies, "seeds": 1}
    )
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


def test_cohort_interruption_and_cache_change_nothing(
    study: Study, sources: TrainingInputs, tmp_path: Path
) -> None:
    trials = confirm_trials(study)
    together = train(Cohort(trials), sources)
    losses = [m["hidden"] for _, m in together.metrics[trials[0].id] if "hidden" in m]
    assert losses[-1] < losses[0]
    alone = train(Cohort(trials[:1]), sources)
    assert told(alone, trials[0]) == told(together, trials[0])
    with pytest.raises(InterruptedError):
        train(Cohort(trials[:1]), sources, hooks=Interrupt(tmp_path, 8))
    resumed = torch.load(tmp_path / "state.pt", weights_only=True)
    again = train(Cohort(trials[:1]), sources, resume=resumed)
    assert (
        again.results[trials[0].id].metrics["test_accuracy"]
        == (together.results[trials[0].id].metrics["test_accuracy"])
    )
    states = tuple(sorted(trials[0].teacher_states))
    cached = replace(sources, source="cached", states=states, cache_dtype="float16")
    stored = train(Cohort(trials[:1]), cached)
    of_cache = [m["hidden"] for _, m in stored.metrics[trials[0].id] if "hidden" in m]
    assert of_cache == pytest.approx(losses, rel=1e-2)


def test_the_teacher_is_measured_once_and_only_for_a_loss_that_needs_it(
    study: Study, sources: TrainingInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = list[dict[Activation, FeatureStatistics]]()

    def measured(filler: Filler) -> dict[Activation, FeatureStatistics]:
        passes.append(state_statistics(filler))
        return passes[-1]

    monkeypatch.setattr(trainer, "state_statistics", measured)
    torch.set_num_threads(1)
    process = trainer.CohortTrainer.load(sources, Execution())
    trial = confirm_trials(study)[0]
    plain = replace(trial, loss=replace(trial.loss, kind="mse"))
    process.run(Cohort((plain,)), Memory())
    assert not passes
    for _ in range(2):
        process.run(Cohort((trial,)), Memory())
    assert len(passes) == 1
    again = state_statistics(process._filler(replace(process.where, micro_batch=2)))
    for k, of_state in passes[0].items():
        assert torch.equal(of_state.mean_D, again[k].mean_D)
        assert torch.equal(of_state.deviation_D, again[k].deviation_D)


@pytest.mark.parametrize("parts", [2, 5])
def test_micro_batches_and_shares_of_workers_sum_to_the_whole(
    teacher: PreTrainedModel, rows: Encoded, statistics: Statistics, parts: int
) -> None:
    whole = np.arange(10)
    gradients = []
    for count in (1, parts):
        trial, learner = learner_of(teacher, statistics)
        learner.model.eval()
        learner.model.train = lambda mode=True, model=learner.model: model  # type: ignore[method-assign,misc]
        live = LiveTeacher(teacher, trial.teacher_states, Classification(), nullcontext())
        for part in range(count):
            batch = collated(rows, shard(whole, part, count), whole)
            learner.backward(batch, live(batch), 0, part, count)
        live.close()
        grads = [p.grad for p in learner.parameters if p.grad is not None]
        gradients.append(torch.cat([g.flatten() for g in grads]))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
