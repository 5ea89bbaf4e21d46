"""Training under fp16 autocast with loss scaling: an overflow skips a step of its student alone.

That students in fp16 keep the invariants of the training loop (cohorts, workers, interruptions,
parts of a batch) is in test_model_classes.py, of which `bert in fp16` is a case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from benchmarks.gpu import every_loss
from raykd.config.cohort import Cohort
from raykd.config.training import Training
from raykd.config.trial import TrialSpec
from raykd.losses.hidden.registry import hidden_losses
from raykd.runtime.execution import Execution
from raykd.tasks.classification import Classification
from raykd.tracking.logs import Entry, Log
from raykd.training.learner import Learner
from raykd.training.public import distill
from raykd.training.recorder import Memory, Result
from raykd.training.trainer import CohortTrainer

from ..support.loop import run_cohort, series, told, train
from ..support.model_classes import Place
from ..support.own_objects import batches, equal, models, weights
from ..support.specs import spec
from .test_checkpoints import AtEveryStep

HEAVY = 30.0  # a weight of the hidden loss at which the gradients of the first two steps overflow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    torch.set_num_threads(1)
    return Place(tmp_path_factory.mktemp("fp16"))


def cohort(place: Place, heavy: float | None = None, **training: Any) -> Cohort:
    """`none`, and two students of `reverse`, one of them with this weight of its hidden loss."""
    trials = [
        replace(t, training=replace(t.training, **{"precision": "fp16", **training}))
        for t in place.cohort("bert").trials
    ]
    if heavy is not None:
        trials[1] = replace(trials[1], loss=replace(trials[1].loss, hidden=heavy))
    return Cohort(tuple(trials))


def skipped(memory: Memory, trial: TrialSpec) -> list[float]:
    return [v for (_, name), v in series(memory, trial).items() if name == "skipped_steps"]


def losses(memory: Memory, trial: TrialSpec) -> list[float]:
    return [v for (_, name), v in series(memory, trial).items() if name == "loss"]


def test_a_student_in_fp16_has_the_losses_of_fp32_to_rounding(place: Place) -> None:
    sources = place.sources("bert", dropout=0.0)
    half, full = (
        cohort(place, steps=24, lr=3e-3),
        cohort(place, steps=24, lr=3e-3, precision="fp32"),
    )
    found, wanted = train(half, sources), train(full, sources)
    for a, b in zip(half.trials, full.trials, strict=True):
        assert found.opened[a.id]["precision"] == "fp16"
        assert set(skipped(found, a)) == {0.0} and not skipped(wanted, b)
        assert losses(found, a) == pytest.approx(losses(wanted, b), rel=1e-2)
        assert losses(found, a) != losses(wanted, b)
        assert losses(found, a)[-1] < 0.9 * losses(found, a)[0]


class Exported(Memory):
    """Has the weights of finished students, whole embedding tables included."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: dict[str, Mapping[str, torch.Tensor]] = {}

    def finish(self, trial: TrialSpec, result: Result) -> None:
        super().finish(trial, result)
        assert result.student is not None
        self.weights[trial.id] = load_file(result.student / "model.safetensors")


def trained(trials: Cohort, sources: Any, **options: Any) -> Exported:
    memory = Exported()
    run_cohort(trials, sources, memory, keep=frozenset(t.id for t in trials.trials), **options)
    return memory


def assert_equal(a: Exported, b: Exported, trial: TrialSpec) -> None:
    for name, value in a.weights[trial.id].items():
        assert torch.equal(value, b.weights[trial.id][name]), name


def test_an_overflow_skips_steps_of_its_student_alone(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    sources = place.sources("bert", dropout=0.1)
    together = trained(cohort(place, HEAVY), sources)
    trials = cohort(place, HEAVY).trials
    assert [skipped(together, t) for t in trials] == [[0] * 6, [1, 2, 2, 2, 2, 2], [0] * 6]
    assert [r.message.partition(": ")[2][:26] for r in caplog.records] == [
        "2 of 6 steps were skipped,"
    ]
    for trial in trials:
        alone = trained(Cohort((trial,)), sources)
        assert told(alone, trial) == told(together, trial)
        assert_equal(alone, together, trial)


def test_a_student_whose_steps_are_all_skipped_stays_as_it_was(place: Place) -> None:
    """No weight decays, of tokens in no training row either."""
    sources = place.sources("bert", dropout=0.1)
    trial = cohort(place, heavy=1e9, weight_decay=0.3, lr=0.1, diverged=1e30).trials[1]
    memory = trained(Cohort((trial,)), sources)
    assert skipped(memory, trial) == [1, 2, 3, 4, 5, 6]
    before = CohortTrainer.load(sources, Execution()).build(trial).state_dict()
    for name, value in memory.weights[trial.id].items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize(("precision", "advises"), [("fp16", True), ("fp32", False)])
def test_a_student_that_diverges_in_fp16_is_advised_of_fp32(
    place: Place, precision: str, advises: bool
) -> None:
    sources = place.sources("bert", dropout=0.1)
    memory = train(cohort(place, precision=precision, diverged=0.01), sources)
    assert memory.failures
    assert all(("fp16" in reason) == advises for reason in memory.failures.values())


def test_a_training_with_skipped_steps_goes_on_from_any_step_bit_for_bit(place: Place) -> None:
    """Scale, moments, and the decay of tokens in no training row, which a checkpoint leaves out."""
    sources, hooks = place.sources("bert", dropout=0.1), AtEveryStep()
    students = cohort(place, HEAVY, weight_decay=0.3, lr=0.05)
    heavy = students.trials[1]
    whole = trained(students, sources, hooks=hooks)
    assert skipped(whole, heavy) == [1, 2, 2, 2, 2, 2]
    assert hooks.at(5)["students"][heavy.id]["skipped"] == [0, 1]
    for step in range(1, 6):
        rest = trained(students, sources, resume=hooks.at(step))
        for trial in students.trials:
            assert told(rest, trial)[:2] == told(whole, trial)[:2]
            late = {k: v for k, v in series(whole, trial).items() if k[0] > step}
            assert series(rest, trial) == late
            assert_equal(rest, whole, trial)


def test_a_checkpoint_without_a_scaler_is_gone_on_from(place: Place) -> None:
    """As where `auto` has other answers on two machines."""
    sources, hooks = place.sources("bert", dropout=0.1), AtEveryStep()
    train(cohort(place, precision="fp32"), sources, hooks=hooks)
    half = cohort(place)
    state = hooks.at(3)
    names = zip(cohort(place, precision="fp32").trials, half.trials, strict=True)
    state["students"] = {b.id: state["students"][a.id] for a, b in names}
    memory = train(half, sources, resume=state)
    assert not memory.failures and all(skipped(memory, t)[-1] == 0 for t in half.trials)


def test_a_batch_without_gradients_changes_nothing() -> None:
    """As one without loss positions."""
    teacher, student = models(blocks=3)
    before = weights(student)
    where = Execution(precision="fp16")
    learner = Learner(spec(), student, Classification(), teacher.config.hidden_size, where)
    learner.update(0)
    assert equal(weights(student), before) and learner.skipped_steps == 0


@pytest.mark.parametrize("cache", [False, True])
def test_own_models_train_in_fp16(cache: bool) -> None:
    found = []
    for precision in ("fp32", "fp16"):
        teacher, student = models(blocks=3)
        found.append(
            distill(teacher, student, batches(), [2, 3, 4], epochs=3, every=3, lr=1e-3,
                    precision=precision, cache=cache).losses  # type: ignore[arg-type]
        )  # fmt: skip
    for step, wanted in found[0].items():
        assert found[1][step] == pytest.approx(wanted, rel=1e-2, abs=1e-3)
    assert found[0] != found[1]


def test_gradients_of_bf16_weights_are_not_scaled() -> None:
    teacher, student = models(blocks=3)
    with pytest.raises(ValueError, match="precision: fp16 is for a student in float32"):
        distill(teacher, student.bfloat16(), batches(), [2, 3, 4], epochs=1, precision="fp16")
    with pytest.raises(ValidationError, match="`precision: fp16` is for `weights: fp32`"):
        Training(precision="fp16", weights="bf16")


def test_the_log_of_a_trial_says_that_many_steps_were_skipped() -> None:
    for count, notes in ((2.0, 1), (1.0, 0)):
        log = Log("run", "FINISHED", {}, (Entry(10, 0.0, {"skipped_steps": count}),), None, None)
        assert sum("of 10 steps were skipped" in line for line in log.lines()) == notes


@pytest.mark.parametrize(
    "kind", [name for name, loss in hidden_losses().items() if loss.form != "blocks"]
)
def test_a_hidden_loss_of_halves_is_computed_in_fp32(kind: str) -> None:
    """Squares of these states are above the limit of fp16, and so are their sums."""
    loss = hidden_losses()[kind]
    padded = loss.form == "padded_pair"
    g = torch.Generator().manual_seed(0)
    shape = (3, 8, 16) if padded else (24, 16)
    student, teacher = (3e4 * torch.rand(shape, generator=g).half() for _ in range(2))
    rest = (torch.ones(3, 8, dtype=torch.bool),) if padded else (24, 3)
    function = loss.with_options(None)
    found = function(student, teacher, *rest)
    assert found.dtype == torch.float32 and torch.isfinite(found)
    assert torch.equal(found, function(student.float(), teacher.float(), *rest))


@pytest.mark.parametrize("case", every_loss.cases(), ids=lambda case: case.name)
def test_every_hidden_loss_and_method_in_fp16(case: every_loss.Case) -> None:
    """In a student's step: near fp32, in parts of a batch."""
    wanted, _ = every_loss.step(case, torch.device("cpu"))
    found, _ = every_loss.step(case, torch.device("cpu"), "fp16")
    assert found == pytest.approx(wanted, rel=0.05, abs=1e-3)
