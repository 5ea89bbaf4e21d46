"""What a checkpoint holds, and that a training goes on from one of any step as if it had not been
interrupted."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from raykd.config.cohort import Cohort
from raykd.runtime.execution import Execution
from raykd.training.hooks import NoHooks
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..support.loop import series, told, train
from ..support.model_classes import Place

OLD = Path(__file__).parents[1] / "files" / "checkpoint_0.1.0.pt"
"""Of the second student of `bert` after step 4, as raykd 0.1.0 stored it in state-2.pt."""
# Embedding rows that no training row uses; an embedding that is the output layer, too.
CLASSES = ("bert", "smollm2")

State = dict[str, Any]


class AtEveryStep(NoHooks):
    """Keeps a checkpoint of every step, as it would be stored."""

    def __init__(self) -> None:
        self.stored: dict[int, bytes] = {}

    def asks_at(self, step: int) -> bool:
        return True

    def checkpoint(self, step: int, state: Callable[[], State]) -> None:
        file = io.BytesIO()
        torch.save(state(), file)
        self.stored[step] = file.getvalue()

    def at(self, step: int) -> State:
        state: State = torch.load(io.BytesIO(self.stored[step]), weights_only=True)
        return state


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    torch.set_num_threads(1)
    return Place(tmp_path_factory.mktemp("checkpoints"))


class Trained:
    """A cohort trained in one go, without checkpoints and with one at every step. The rate of its
    first student is too large for the best score to be the last."""

    def __init__(self, place: Place, name: str) -> None:
        self.sources = place.sources(name, dropout=0.1)
        trials = list(place.cohort(name).trials)
        fast = replace(trials[0].training, lr=0.05, weight_decay=0.3)
        trials[0] = replace(trials[0], strategy="fast", training=fast)
        self.cohort = Cohort(tuple(trials))
        self.whole = train(self.cohort, self.sources)
        self.hooks = AtEveryStep()
        self.watched = train(self.cohort, self.sources, hooks=self.hooks)

    def resumed(self, state: State, **options: Any) -> Memory:
        # The optimiser trains on with the tensors that it is given.
        return train(self.cohort, self.sources, resume=deepcopy(state), **options)

    def is_as_whole(self, memory: Memory, after: int) -> None:
        for trial in self.cohort.trials:
            rest = {k: v for k, v in series(self.whole, trial).items() if k[0] > after}
            assert series(memory, trial) == rest
            assert told(memory, trial)[:2] == told(self.whole, trial)[:2]


@pytest.fixture(scope="module", params=CLASSES)
def trained(request: pytest.FixtureRequest, place: Place) -> Trained:
    return Trained(place, request.param)


def test_a_training_goes_on_from_any_step_bit_for_bit(trained: Trained) -> None:
    trained.is_as_whole(trained.watched, 0)  # a checkpoint changes nothing
    assert list(trained.hooks.stored) == [1, 2, 3, 4, 5, 6]
    for step in range(1, 6):
        trained.is_as_whole(trained.resumed(trained.hooks.at(step)), step)


def test_what_was_resumed_stores_what_the_uninterrupted_training_stores(trained: Trained) -> None:
    hooks = AtEveryStep()
    trained.resumed(trained.hooks.at(3), hooks=hooks)
    for step in (4, 5, 6):
        assert_same(without_times(hooks.at(step)), without_times(trained.hooks.at(step)))


def test_a_checkpoint_holds_each_trained_value_once(place: Place, trained: Trained) -> None:
    materials = CohortTrainer.load(trained.sources, Execution())
    for step in (2, 3, 5):
        students = trained.hooks.at(step)["students"]
        for trial in trained.cohort.trials:
            student = students[trial.id]
            model = materials.build(trial)
            moments = student["optimizer"]["state"].values()
            trained_values = sum(m["exp_avg"].numel() for m in moments)
            beside = [*student["projections"].values(), *student["matching"].values()]
            weights = trained_values - sum(w.numel() for w in beside)
            assert sum(w.numel() for w in student["model"].values()) == weights
            assert weights <= sum(p.numel() for p in model.parameters())
            if student["best_step"] == step:
                assert student["best"] is None
            elif student["best_step"]:
                assert sum(w.numel() for w in student["best"].values()) == weights


def test_frozen_parameters_and_unused_rows_are_left_out(place: Place) -> None:
    trial = place.cohort("bert").trials[0]
    frozen = replace(trial, training=replace(trial.training, freeze_embeddings=True))
    sources = place.sources("bert", dropout=0.1)
    table = "bert.embeddings.word_embeddings.weight"
    rows = {}
    for each in (trial, frozen):
        hooks = AtEveryStep()
        whole = train(Cohort((each,)), sources, hooks=hooks)
        state = hooks.at(3)
        rows[each] = state["students"][each.id]["model"].get(table)
        resumed = train(Cohort((each,)), sources, resume=state)
        assert told(resumed, each)[:2] == told(whole, each)[:2]
    assert rows[frozen] is None and 0 < len(rows[trial]) < 64


def test_an_explored_student_has_no_best_weights(place: Place) -> None:
    """Only its score counts."""
    trial = replace(place.cohort("bert").trials[0], phase="explore")
    hooks = AtEveryStep()
    train(Cohort((trial,)), place.sources("bert", dropout=0.1), hooks=hooks)
    state = hooks.at(5)["students"][trial.id]
    assert state["best_step"] and state["best"] == {}


def test_a_training_whose_students_begin_otherwise_begins_anew(place: Place) -> None:
    """As after another version of a package, which draws other weights."""
    trained = Trained(place, "bert")
    state = trained.hooks.at(4)
    state["students"][trained.cohort.trials[-1].id]["initial"] += 1
    trained.is_as_whole(trained.resumed(state), 0)


def test_a_checkpoint_of_whole_weights_is_gone_on_from(trained: Trained) -> None:
    """As raykd 0.1.0 stored them: all weights, the best again, and no number of updates."""
    state = as_in_0_1_0(trained, 4)
    trained.is_as_whole(trained.resumed(state), 4)
    hooks = AtEveryStep()
    trained.resumed(state, hooks=hooks)
    trained.is_as_whole(trained.resumed(hooks.at(5)), 5)


def test_the_committed_checkpoint_of_0_1_0_is_gone_on_from(place: Place) -> None:
    state = torch.load(OLD, weights_only=True)
    trial = place.cohort("bert").trials[-1]
    assert set(state["students"]) == {trial.id}
    cohort, sources = Cohort((trial,)), place.sources("bert", dropout=0.1)
    whole, rest = train(cohort, sources), train(cohort, sources, resume=state)
    wanted = {k: v for k, v in series(whole, trial).items() if k[0] > state["step"]}
    # It was made on another machine, whose sums round otherwise.
    assert series(rest, trial) == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def as_in_0_1_0(trained: Trained, step: int) -> State:
    """Return the checkpoint of a step with whole weights, from a training that ends there."""
    states: dict[int, State] = {}

    class Whole(NoHooks):
        def asks_at(self, at: int) -> bool:
            return at == step

        def checkpoint(self, at: int, state: Callable[[], State]) -> None:
            if at == step:
                stored = state()
                for learner in state.args[1]:  # type: ignore[attr-defined]
                    student = stored["students"][learner.trial.id]
                    del student["initial"], student["steps"]
                    now = deepcopy(learner.model.state_dict())
                    learner.restore_best()
                    student["best"] = deepcopy(learner.model.state_dict())
                    learner.model.load_state_dict(now)
                    student["model"] = now
                file = io.BytesIO()
                torch.save(stored, file)
                states[at] = torch.load(io.BytesIO(file.getvalue()), weights_only=True)

    train(trained.cohort, trained.sources, hooks=Whole())
    return states[step]


def without_times(state: State) -> State:
    students = {
        trial: {k: v for k, v in student.items() if k not in ("seconds", "examples")}
        for trial, student in state["students"].items()
    }
    return {**state, "students": students}


def assert_same(found: Any, wanted: Any, name: str = "") -> None:
    if isinstance(wanted, Mapping):
        assert list(found) == list(wanted), name
        for key in wanted:
            assert_same(found[key], wanted[key], f"{name}/{key}")
    elif isinstance(wanted, torch.Tensor):
        assert torch.equal(found, wanted), name
    else:
        assert found == wanted, name
