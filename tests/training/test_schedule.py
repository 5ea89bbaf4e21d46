"""Schedules in real trainings. That they hold the invariants of the loop is shown beside the model
classes (test_model_classes.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.losses.hidden.registry import hidden_losses
from raykd.losses.hidden.schedule import Schedule, Stage
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.sweep.fine_tune import fine_tune
from raykd.training.hooks import NoHooks
from raykd.training.imitation import gradients
from raykd.training.inputs import TrainingInputs
from raykd.training.public import distill
from raykd.training.recorder import Memory

from ..support.loop import series, told, train
from ..support.own_objects import batches, models
from ..support.world import write_sweep

OFF, ON = (0.0, 0.0), (1.0, 1.0)
HINT: Schedule = (Stage(0.5, OFF, OFF, ON), Stage(1.0, ON, ON, OFF))
HINT_STAGES = [{"until": 0.5, "ce": 0, "kl": 0}, {"until": 1, "hidden": 0}]
RISING: Schedule = (Stage(0.5, ON, ON, ON, True), Stage(1.0, ON, (1.0, 2.0), (1.0, 0.0)))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    sweep = write_sweep(folder, student={"blocks": 3}, confirm={"seeds": 1, "inits": ["random"]})
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


def under(study: Study, schedule: Schedule | None, **changes: Any) -> TrialSpec:
    """The trial of forward under a schedule, with other settings of its training."""
    trial = next(t for t in confirm_trials(study) if t.strategy == "forward")
    training = replace(trial.training, **changes)
    return replace(trial, loss=replace(trial.loss, schedule=schedule), training=training)


@pytest.fixture(scope="module")
def memory(study: Study, sources: TrainingInputs) -> Memory:
    trials = (under(study, None), under(study, HINT), under(study, RISING))
    return train(Cohort(trials), sources)


def logged(memory: Memory, trial: TrialSpec, name: str) -> dict[int, float]:
    return {step: v for (step, metric), v in series(memory, trial).items() if metric == name}


@pytest.mark.parametrize("stages", [1, 3])
def test_constant_weights_give_bit_for_bit_the_same_student(
    study: Study, sources: TrainingInputs, memory: Memory, stages: int
) -> None:
    """Written as a schedule, though a file's would be simplified to none (planning)."""
    schedule = tuple(Stage(i / stages, ON, ON, ON) for i in range(1, stages + 1))
    trial, plain = under(study, schedule), under(study, None)
    assert trial.id != plain.id
    assert told(train(Cohort((trial,)), sources), trial) == told(memory, plain)


def test_the_loss_is_that_of_the_steps_weights(study: Study, memory: Memory) -> None:
    trial = under(study, RISING)
    loss, ce, kl, hidden = (logged(memory, trial, n) for n in ("loss", "ce", "kl", "hidden"))
    assert 12 not in hidden  # the last weight of the ramp is 0
    checked = 0
    for step, value in loss.items():
        weights = trial.loss.weights(step - 1, 12)
        if step - 1 in loss or step == 1:
            total = weights.ce * ce[step] + weights.kl * kl[step]
            total += weights.hidden * hidden.get(step, 0.0)
            assert value == pytest.approx(total, rel=1e-5)
            checked += 1
    assert checked >= 8


def test_what_is_off_is_not_logged(study: Study, memory: Memory) -> None:
    hint, rising = under(study, HINT), under(study, RISING)
    pairs = [f"hidden_{s.number}_to_{t.number}" for s, t in hint.layer_map.pairs()]
    assert {max(logged(memory, hint, name)) for name in ("hidden", *pairs)} == {6}
    assert max(logged(memory, hint, "ce")) == 12  # its weight is 0 at first, and it is told
    assert min(logged(memory, hint, "ce")) == 1
    assert [min(logged(memory, rising, name)) for name in pairs] == [1, 4, 5]


def test_a_mean_is_over_the_steps_at_which_the_term_was_computed(
    study: Study, sources: TrainingInputs
) -> None:
    """The report at step 7 is of steps 6 and 7, and the hidden loss stops after step 6."""
    stops = (Stage(6 / 24, ON, ON, ON), Stage(1.0, ON, ON, OFF))
    trials = [
        under(study, stops, steps=24),
        under(study, None, steps=24, evaluations=24),  # a report at every step
    ]
    memories = [train(Cohort((trial,)), sources) for trial in trials]
    cut, each = (logged(m, t, "hidden") for m, t in zip(memories, trials, strict=True))
    assert list(cut) == [2, 5, 7]
    assert cut[7] == pytest.approx(each[6], rel=1e-6)
    assert cut[5] == pytest.approx((each[3] + each[4] + each[5]) / 3, rel=1e-6)


def test_projections_rest_while_the_hidden_loss_has_no_weight(
    study: Study, sources: TrainingInputs
) -> None:
    """Neither a gradient nor weight decay moves them."""
    trial = under(study, (Stage(0.5, ON, ON, ON), Stage(1.0, ON, ON, OFF)))
    trial = replace(trial, shape=replace(trial.shape, width=16))
    stored: dict[int, dict[str, torch.Tensor]] = {}

    class Hooks(NoHooks):
        def progress(self, *_: Any) -> None: ...

        def checkpoint(self, step: int, state: Any) -> None:
            projections = state()["students"][trial.id]["projections"]
            stored[step] = {name: value.clone() for name, value in projections.items()}

    train(Cohort((trial,)), sources, hooks=Hooks())
    assert sorted(stored) == [4, 8, 12] and stored[4]
    assert all(torch.equal(stored[8][k], stored[12][k]) for k in stored[8])
    assert any(not torch.equal(stored[4][k], stored[8][k]) for k in stored[4])


def test_no_checkpoint_is_chosen_before_the_outputs_are_trained(
    study: Study, sources: TrainingInputs
) -> None:
    """With a rate of 0 every evaluation scores the same, and the first that counts is the best."""
    late = (Stage(0.7, OFF, OFF, ON), Stage(1.0, ON, ON, OFF))
    trials = [under(study, s, lr=1e-30, evaluations=6) for s in (None, HINT, late)]
    trials.append(under(study, (Stage(1.0, OFF, OFF, ON),), lr=1e-30, evaluations=6))
    results = train(Cohort(tuple(trials)), sources).results
    assert [results[t.id].metrics["best_step"] for t in trials] == [2, 8, 10, 2]


def test_gradients_are_measured_where_the_pair_has_a_weight(
    study: Study, sources: TrainingInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "SHARE", 10.0)  # at eight steps
    trials = [under(study, s) for s in (None, HINT, RISING)]
    told = train(Cohort(tuple(trials)), sources)
    steps = [
        {pair: sorted(logged(told, t, f"gradient_cosine/{pair}")) for pair in ("1_to_4", "3_to_1")}
        for t in trials
    ]
    every = steps[0]["1_to_4"]
    assert len(every) == 8 and steps[0]["3_to_1"] == every
    assert steps[1]["1_to_4"] == steps[1]["3_to_1"] == [s for s in every if s <= 6]
    assert steps[2]["1_to_4"] == [s for s in every if s < 12]
    assert steps[2]["3_to_1"] == [s for s in every if 5 <= s < 12]
    for trial in trials:  # what is imitated is measured throughout
        assert 12 in logged(told, trial, "r2/3_to_4")


def test_the_library_takes_the_same_stages() -> None:
    def trained(layer_map: Any = (2, 4, 6), **settings: Any) -> Any:
        teacher, student = models()
        return distill(teacher, student, batches(), layer_map, epochs=2, every=1, **settings)

    plain = trained()
    same = trained(schedule=[{"until": 0.5}, {"until": 1, "hidden": 1}])
    assert same.losses == plain.losses
    hint = trained(schedule=HINT_STAGES)
    assert [s for s in hint.losses if "hidden" in hint.losses[s]] == [1, 2, 3]
    assert hint.losses[1]["loss"] == pytest.approx(hint.losses[1]["hidden"])
    assert hint.losses[6]["loss"] == pytest.approx(hint.losses[6]["ce"] + hint.losses[6]["kl"])
    rising = trained(schedule=[{"until": 1, "blocks": "progressive"}], hidden=3.0)
    assert [len([n for n in rising.losses[s] if n.startswith("hidden_")]) for s in range(1, 7)] == [
        1, 1, 2, 2, 3, 3,
    ]  # fmt: skip
    nothing = [None, None, None]
    assert trained(nothing, schedule=HINT_STAGES).losses == trained(nothing).losses


def test_every_kind_of_loss_stops_and_begins(study: Study, sources: TrainingInputs) -> None:
    """Of pairs, with padding and without, of all blocks at once, and of a whole batch."""
    late = (Stage(0.5, ON, ON, OFF), Stage(1.0, ON, ON, ON))
    for schedule, wanted in ((HINT, range(1, 7)), (late, range(7, 13))):
        plain = under(study, schedule)
        trials = [
            replace(plain, loss=replace(plain.loss, kind=name))
            for name, loss in sorted(hidden_losses().items())
            if loss.any_map
        ]
        assert {hidden_losses()[t.loss.kind].form for t in trials} == {
            "pair",
            "padded_pair",
            "blocks",
        }
        memory = train(Cohort(tuple(trials)), sources)
        for trial in trials:
            assert trial.id in memory.results, trial.loss.kind
            assert {s for s in logged(memory, trial, "hidden")} <= set(wanted)
            assert logged(memory, trial, "hidden")
