"""The quirks of the paper's release, trained with: a teacher's dropout, projections that stay as
they were drawn, a rate of an arm's own, losses that look at padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.errors import UserError
from raykd.losses.hidden.registry import hidden_losses
from raykd.maps.activations import Stack, state
from raykd.models.projections import build_projections
from raykd.planning import teacher_source
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import Speeds, training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.runtime.seeds import stream
from raykd.sweep.fine_tune import fine_tune
from raykd.teachers.targets import LiveTeacher
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..config.test_mistakes import complaints
from ..support import lm_world, world_seq2seq
from ..support.loop import Interrupt, run_cohort, series, told, train
from ..support.smallest import SMALLEST
from ..support.specs import spec

PADDED = sorted(name for name, loss in hidden_losses().items() if loss.padded)
STACKS: tuple[Stack, ...] = ("encoder", "decoder")
CONFIRM = {
    "strategies": [
        "none",
        "forward",
        {"strategy": "forward", "name": "slower", "lr": 1e-4},
        {"strategy": "all_to_one", "lr": 5e-3},
    ],
    "inits": ["random"],
    "seeds": 1,
}
QUIRKS: dict[str, Any] = {
    "student": {"blocks": 2, "width": 16, "projections": "frozen"}, "confirm": CONFIRM,
}  # fmt: skip
WORLDS: dict[str, Callable[..., Path]] = {
    "t5": partial(
        world_seq2seq.write_sweep, losses={"kind": "paper_t5", "hidden": 3.0, "temperature": 2.0}
    ),
    "causal_lm": partial(lm_world.write_lm_sweep, losses={"kind": "paper_qwen", "hidden": 3.0}),
}


def found(sweep: Path) -> Study:
    return resolve(load(sweep), sweep.parent / "home", str(sweep))


class World:
    def __init__(self, folder: Path, name: str) -> None:
        teacher = {
            "model": str(folder / "model"), "epochs": 1, "lr": 3e-3, "allow_weak": True,
            "dropout": True,
        }  # fmt: skip
        self.folder, self.name = folder, name
        self.write = partial(WORLDS[name], folder, **{**QUIRKS, "teacher": teacher})
        self.study = found(self.write())
        self.sources = training_inputs(self.study, fine_tune(self.study).folder)
        self.trials = confirm_trials(self.study)

    def of(self, **changes: Any) -> tuple[TrialSpec, ...]:
        """The trials of the same world with some of its training otherwise."""
        return tuple(replace(t, training=replace(t.training, **changes)) for t in self.trials)


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("quirks"), str(request.param))


@pytest.fixture(scope="module")
def whole(world: World) -> Memory:
    return train(Cohort(world.trials), world.sources)


def test_the_specification_holds_what_the_file_says(world: World) -> None:
    assert len({t.id for t in world.trials}) == 4
    assert [t.training.lr for t in world.trials] == [1e-3, 1e-3, 1e-4, 5e-3]
    assert all(t.training.teacher_dropout for t in world.trials)
    assert all(t.training.frozen_projections for t in world.trials)
    assert [TrialSpec.from_json(t.to_json()) for t in world.trials] == list(world.trials)
    # The release matches embeddings too, but for its decoders.
    matched = {s for s, _ in world.trials[1].layer_map.pairs()}
    assert matched == (
        {state(k, s) for k in (0, 1, 2) for s in STACKS}
        if world.name == "t5"
        else {state(1), state(2)}
    )


@pytest.mark.parametrize("change", ["frozen_projections", "teacher_dropout"])
def test_each_quirk_is_another_experiment(change: str) -> None:
    other = spec(**{change: True})
    assert other.id != spec().id and TrialSpec.from_json(other.to_json()) == other
    assert change not in spec().to_json()["training"]


def test_alone_and_in_a_cohort_a_trial_is_the_same_bitwise(world: World, whole: Memory) -> None:
    """Invariant 1, with dropout on in students and teacher."""
    for trial in world.trials:
        assert told(train(Cohort((trial,)), world.sources), trial) == told(whole, trial)


def test_an_interrupted_trial_ends_as_if_it_had_not_been(
    world: World, whole: Memory, tmp_path: Path
) -> None:
    """Invariant 4."""
    cohort, first = Cohort(world.trials), Memory()
    half = cohort.trials[0].training.steps // 2 + 1
    with pytest.raises(InterruptedError):
        run_cohort(cohort, world.sources, first, hooks=Interrupt(tmp_path, half))
    resume = torch.load(tmp_path / "state.pt", weights_only=True)
    assert 0 < resume["step"] <= half
    second = train(cohort, world.sources, resume=resume)
    for trial in cohort.trials:
        assert series(first, trial) | series(second, trial) == series(whole, trial)
        assert told(second, trial)[:2] == told(whole, trial)[:2]


def test_a_rate_of_its_own_is_that_arms_alone(world: World, whole: Memory) -> None:
    """Arms of one map that begin alike part ways by their rates."""
    _, forward, slower, _ = world.trials
    assert forward.layer_map == slower.layer_map
    a, b = series(whole, forward), series(whole, slower)
    first, last = min(step for step, _ in a), max(step for step, _ in a)
    assert a[first, "loss"] == b[first, "loss"] and a[last, "loss"] < b[last, "loss"]
    assert Cohort(world.trials)  # they share their batches all the same


def test_frozen_projections_stay_and_trained_ones_move(world: World, tmp_path: Path) -> None:
    """Both are in the checkpoint of a training."""
    frozen, trained = world.trials[1], world.of(frozen_projections=False)[1]
    cohort = Cohort((frozen, trained))
    train(cohort, world.sources, hooks=Interrupt(tmp_path, None))
    state = torch.load(tmp_path / "state.pt", weights_only=True)["students"]
    seed = stream(frozen.seed, "projections")
    drawn = build_projections(dict(frozen.layer_map.pairs()), 16, 32, seed).state_dict()
    assert len(drawn) == len(frozen.layer_map.pairs())
    for name, weight in drawn.items():
        assert torch.equal(state[frozen.id]["projections"][name], weight)
        assert not torch.equal(state[trained.id]["projections"][name], weight)


def test_a_teachers_dropout_changes_what_is_imitated(world: World, whole: Memory) -> None:
    dry = world.of(teacher_dropout=False)
    memory = train(Cohort(dry), world.sources)
    for own, other in zip(world.trials, dry, strict=True):
        a, b = series(whole, own), series(memory, other)
        first = min(step for step, _ in a)
        assert a[first, "ce"] == b[first, "ce"] and a[first, "kl"] != b[first, "kl"]
    with pytest.raises(ValueError, match="share"):
        Cohort((world.trials[0], dry[0]))  # one pass of the teacher cannot be both


def test_dropout_is_drawn_anew_at_each_pass_and_off_between_them(world: World) -> None:
    materials = CohortTrainer.load(world.sources, Execution())
    data, family = materials.data, materials.data.family
    batch = family.collate(data.train, np.arange(4), data.pad)
    with_dropout = LiveTeacher(
        materials.teacher, {state(1), state(4)}, family, torch.no_grad(), dropout=True, padded=True
    )

    def said(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        found = with_dropout(batch)
        assert not materials.teacher.training
        assert found.states_BTD[state(4)].shape[:2] == batch.inputs["input_ids"].shape
        return found.states_ND[state(4)]

    assert torch.equal(said(1), said(1)) and not torch.equal(said(1), said(2))
    with_dropout.close()


# What does not go together


def test_every_kind_that_looks_at_padding_is_known() -> None:
    assert set(PADDED) == {"paper_t5", "paper_qwen"}


DROPOUT = {"teacher": {"model": "minilm", "dropout": True}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({**DROPOUT, "states": {"source": "cached"}},
         "states.source: cached, and the teacher's dropout is on (teacher.dropout), so it says "
         "something else each time; write live"),
        *[
            ({"losses": {"kind": kind}, **other}, line.format(kind))
            for kind in PADDED
            for other, line in (
                ({"states": {"source": "cached"}},
                 "states.source: cached, and {} (losses.kind) looks at padding, which is not "
                 "stored; write live"),
                ({"cluster": {"workers": 2}},
                 "cluster.workers: 2, and {} is of a whole padded batch; write 1"),
                ({"cluster": {"micro_batch": 4}},
                 "cluster.micro_batch: 4, and {} is of a whole padded batch; leave it out"),
                ({"confirm": {"strategies": ["forward", {"targets": "mean"}]}},
                 "losses.kind: {} looks at padding, and a control (mean_forward) has targets for "
                 "tokens alone; write another kind, or leave the controls out"),
            )
        ],
    ],
)  # fmt: skip
def test_what_a_store_or_a_part_of_a_batch_cannot_give_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    assert complaints(tmp_path, {**SMALLEST, **changes}) == [told]


def test_what_the_command_line_sets_is_refused_as_well(world: World) -> None:
    config = load(world.write())
    cluster = config.cluster.model_copy(update={"workers": 2})
    with pytest.raises(UserError, match="s.yaml: cluster.workers: 2, and paper_.* write 1"):
        resolve(
            config.model_copy(update={"cluster": cluster}), world.folder / "home", "s.yaml"
        )  # fmt: skip


def test_auto_is_live(world: World) -> None:
    fast = Speeds(tokens=1e4, write=1e9, read=1e9)
    choice = teacher_source.choose(world.study, tuple(map(state, (1, 2, 3))), 50, fast, None)
    assert choice.source == "live" and "teacher.dropout" in choice.why
    teacher = {"model": str(world.folder / "model")}
    kind_alone = found(world.write(teacher=teacher))
    choice = teacher_source.choose(kind_alone, tuple(map(state, (1, 2, 3))), 50, fast, None)
    assert choice.source == "live" and "looks at padding" in choice.why
    neither = found(world.write(teacher=teacher, losses={"kind": "mse"}))
    assert (
        teacher_source.choose(neither, tuple(map(state, (1, 2, 3))), 50, fast, None).source
        == "cached"
    )
