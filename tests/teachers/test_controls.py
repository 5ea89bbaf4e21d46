"""Controls: what their targets are, and that a control is a trial like any other."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import TargetKind, TrialSpec
from raykd.data.batches import collate, shard
from raykd.maps.activations import Activation, state
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime import execution
from raykd.sweep.fine_tune import fine_tune
from raykd.tasks.classification import Classification
from raykd.tasks.kinds.task_kind import task_kind, task_kinds
from raykd.teachers import state_statistics as sampled
from raykd.teachers.controls import Controls, untrained
from raykd.teachers.fill_cache import Filler
from raykd.teachers.state_statistics import state_statistics
from raykd.teachers.targets import LiveTeacher, Part
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory

from ..data.test_batches import encoded
from ..support.loop import Interrupt, run_cohort, series, told, train, without_dropout
from ..support.padded_task import padded_task
from ..support.tiny_models import tiny_model
from ..support.world import write_sweep

KINDS: tuple[TargetKind, ...] = ("untrained", "shuffled", "mean")
STATES = (state(1), state(2), state(4))
LENGTHS = np.random.default_rng(2).integers(1, 30, 60)


@pytest.fixture(scope="module")
def filler() -> Filler:
    torch.set_num_threads(1)
    model = tiny_model("bert", blocks=4, labels=3)
    return Filler(model, encoded(LENGTHS), 0, torch.device("cpu"), nullcontext, Classification())


@pytest.fixture(scope="module")
def made(filler: Filler) -> Controls:
    other = LiveTeacher(untrained(filler.teacher, 3), STATES, Classification(), nullcontext())
    return Controls(3, 0, other, state_statistics(filler))


def part(filler: Filler, rows: np.ndarray, pad_to: int | None = None) -> Part:
    tokens = int(filler.encoded.lengths[rows].sum())
    batch = collate(filler.encoded, rows, 0, len(rows), tokens, pad_to)
    with filler.live(STATES) as live:
        return batch, live(batch)


def states(parts: list[Part]) -> dict[Activation, torch.Tensor]:
    """Over the whole share, in the order of its tokens."""
    told = [targets.states_ND for _, targets in parts if targets is not None]
    return {k: torch.cat([x[k] for x in told]) for k in STATES}


def in_any_order(x_ND: torch.Tensor) -> list[list[float]]:
    return sorted(x_ND.tolist())


# What the targets are


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_changes_hidden_targets_alone(
    filler: Filler, made: Controls, kind: TargetKind
) -> None:
    (batch, teacher) = part(filler, np.arange(9))
    ((same, told),) = made.of(kind, [(batch, teacher)], 5)
    assert same is batch and told is not None and teacher is not None
    assert told.outputs is teacher.outputs
    for k in STATES:
        assert told.states_ND[k].shape == teacher.states_ND[k].shape
        assert not torch.allclose(told.states_ND[k], teacher.states_ND[k], atol=0.1)
        assert not told.states_ND[k].requires_grad


@given(st.integers(1, 30), st.integers(0, 99))
def test_shuffled_states_are_the_teachers_given_to_other_tokens(
    filler: Filler, rows: int, step: int
) -> None:
    one = part(filler, np.arange(rows))
    before, after = states([one]), states(Controls(3).of("shuffled", [one], step))
    for k in STATES:
        assert in_any_order(after[k]) == in_any_order(before[k])
    # One permutation for all blocks: a token's targets are all of one other token.
    whole = torch.cat([before[k] for k in STATES], 1), torch.cat([after[k] for k in STATES], 1)
    assert in_any_order(whole[0]) == in_any_order(whole[1])


def test_shuffles_differ_by_seed_and_step_and_are_the_same_again(filler: Filler) -> None:
    one = part(filler, np.arange(20))

    def shuffle(seed: int, step: int, rank: int = 0) -> torch.Tensor:
        return states(Controls(seed, rank).of("shuffled", [one], step))[state(4)]

    assert torch.equal(shuffle(1, 0), shuffle(1, 0))
    others = [shuffle(1, 1), shuffle(2, 0), shuffle(1, 0, rank=1)]
    assert not any(torch.equal(shuffle(1, 0), x) for x in others)


def test_a_mean_has_no_variance_over_tokens_and_is_the_teachers(
    filler: Filler, made: Controls
) -> None:
    everything = states([part(filler, np.arange(len(LENGTHS)))])
    found = states(made.of("mean", [part(filler, np.arange(9))], 0))
    other = states(made.of("mean", [part(filler, np.arange(30, 45))], 7))
    for k in STATES:
        assert found[k].std(0).max() == 0
        assert torch.equal(found[k][0], other[k][0])
        torch.testing.assert_close(found[k][0], everything[k].mean(0), rtol=1e-4, atol=1e-5)


def test_a_mean_is_over_a_sample_of_the_rows(
    filler: Filler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampled, "STATISTICS_ROWS", 5)
    few = states([part(filler, np.array([0, 14, 29, 44, 59]))])
    found = state_statistics(filler)
    for k in STATES:
        torch.testing.assert_close(found[k].mean_D, few[k].mean(0), rtol=1e-4, atol=1e-5)


def test_an_untrained_teacher_is_one_model_a_seed(filler: Filler) -> None:
    def weights(seed: int) -> torch.Tensor:
        found = untrained(filler.teacher, seed).state_dict()
        assert found.keys() == filler.teacher.state_dict().keys()
        return torch.cat([x.flatten() for x in found.values()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


# Parts of a batch, shares of workers, padding


@pytest.mark.parametrize("kind", KINDS)
def test_neither_padding_nor_parts_change_a_control(
    filler: Filler, made: Controls, kind: TargetKind
) -> None:
    rows = np.arange(12)
    whole = states(made.of(kind, [part(filler, rows)], 4))
    padded = states(made.of(kind, [part(filler, rows, pad_to=40)], 4))
    parts = [part(filler, rows[:5]), part(filler, rows[5:6]), part(filler, rows[6:])]
    cut = states(made.of(kind, parts, 4))
    for k in STATES:
        torch.testing.assert_close(padded[k], whole[k], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(cut[k], whole[k], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_two_workers_imitate(filler: Filler, made: Controls, kind: TargetKind) -> None:
    """Untrained and mean: each token imitates what it does under one worker, so that invariant 2
    holds to rounding. Shuffled: a worker permutes within its share, so that the tokens of a global
    batch imitate the same states taken together, and each token another one: losses agree in
    distribution, and the terms that are no control's to rounding as ever."""
    rows = np.arange(13)
    alone = states(made.of(kind, [part(filler, rows)], 4))
    shares = [
        replace(made, rank=rank).of(kind, [part(filler, shard(rows, rank, 2))], 4)
        for rank in (0, 1)
    ]
    owners = np.repeat(np.arange(13) % 2, LENGTHS[:13])
    for k in STATES:
        for rank, share in enumerate(shares):
            mine = torch.from_numpy(owners == rank)
            teachers = states([part(filler, shard(rows, rank, 2))])[k]
            if kind == "shuffled":
                assert in_any_order(states(share)[k]) == in_any_order(teachers)
            else:
                torch.testing.assert_close(states(share)[k], alone[k][mine], rtol=1e-4, atol=1e-5)
        both = torch.cat([states(share)[k] for share in shares])
        torch.testing.assert_close(both.mean(0), alone[k].mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_without_rows_has_nothing_to_imitate(
    filler: Filler, made: Controls, kind: TargetKind
) -> None:
    batch, _ = part(filler, np.arange(2))
    assert made.of(kind, [(batch, None)], 0) == [(batch, None)]


# Controls as trials

STRATEGIES: list[Any] = [
    "forward", {"targets": "untrained"}, {"targets": "shuffled"}, {"targets": "mean"},
    {"strategy": "reverse", "targets": "untrained"},
    {"strategy": "all_to_one", "block": 1, "targets": "shuffled", "name": "shuffled_first"},
]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    sweep = write_sweep(folder, confirm={"strategies": STRATEGIES, "inits": ["random"]})
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


@pytest.fixture(scope="module")
def trials(study: Study) -> tuple[TrialSpec, ...]:
    return tuple(t for t in confirm_trials(study) if t.seed == 1)


@pytest.fixture(scope="module")
def together(trials: tuple[TrialSpec, ...], sources: TrainingInputs) -> Memory:
    return train(Cohort(trials), sources)


def test_controls_are_trials_of_their_own(trials: tuple[TrialSpec, ...]) -> None:
    assert [t.strategy for t in trials] == [
        "forward", "untrained_forward", "shuffled_forward", "mean_forward", "untrained_reverse",
        "shuffled_first",
    ]  # fmt: skip
    assert [t.targets for t in trials[:4]] == ["teacher", *KINDS]
    assert len({t.id for t in trials}) == len(trials)
    assert len({t.layer_map for t in trials[:4]}) == 1


def test_a_control_alone_equals_itself_in_a_cohort_bitwise(
    trials: tuple[TrialSpec, ...], sources: TrainingInputs, together: Memory
) -> None:
    """Invariant 1, dropout on; and each kind is another training."""
    for trial in trials:
        assert told(train(Cohort((trial,)), sources), trial) == told(together, trial)
    curves = [tuple(series(together, t).values()) for t in trials]
    assert len(set(curves)) == len(trials)


def test_controls_of_a_stored_teacher_are_those_of_a_live_one(
    trials: tuple[TrialSpec, ...], sources: TrainingInputs, together: Memory, tmp_path: Path
) -> None:
    """Invariant 3: to the storage's precision."""
    stored = replace(
        sources, source="cached", cache=str(tmp_path), states=tuple(map(state, range(1, 5)))
    )
    cached = train(Cohort(trials), stored)
    for trial in trials:
        a, b = series(together, trial), series(cached, trial)
        assert a.keys() == b.keys()
        assert list(b.values()) == pytest.approx(list(a.values()), rel=5e-3, abs=1e-4)
        assert cached.opened[trial.id]["teacher_source"] == "cached float16"


def test_a_store_is_read_for_what_needs_it_alone(
    trials: tuple[TrialSpec, ...], sources: TrainingInputs, tmp_path: Path
) -> None:
    """Neither an untrained teacher's states nor means come from the teacher's store."""
    chosen = tuple(t for t in trials if t.targets in ("untrained", "mean"))
    stored = replace(sources, source="cached", cache=str(tmp_path), states=())
    memory = train(Cohort(chosen), stored)
    assert {t.id for t in chosen} == set(memory.results)
    assert not list(tmp_path.rglob("state-*"))


def test_an_interrupted_control_ends_as_if_it_had_not_been(
    trials: tuple[TrialSpec, ...], sources: TrainingInputs, together: Memory, tmp_path: Path
) -> None:
    """Invariant 4."""
    with pytest.raises(InterruptedError):
        run_cohort(Cohort(trials), sources, Memory(), hooks=Interrupt(tmp_path, 9))
    resume = torch.load(tmp_path / "state.pt", weights_only=True)
    assert 0 < resume["step"] < trials[0].training.steps
    second = train(Cohort(trials), sources, resume=resume)
    for trial in trials:
        assert told(second, trial)[:2] == told(together, trial)[:2]


def test_padding_and_micro_batches_change_no_control(
    trials: tuple[TrialSpec, ...], sources: TrainingInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 6, over a whole training, dropout off."""
    without_dropout(monkeypatch)
    short = train(Cohort(trials), sources)
    parts = train(Cohort(trials), sources, where=execution.Execution(micro_batch=5))

    longer = padded_task(Classification(), 60)
    kind = replace(task_kind("classification"), implementation=type(longer))
    monkeypatch.setitem(task_kinds(), "classification", kind)  # type: ignore[arg-type]
    long = train(Cohort(trials), sources)
    for trial in trials:
        for other in (parts, long):
            assert series(short, trial) == pytest.approx(series(other, trial), rel=1e-3, abs=1e-4)


def test_only_the_hidden_loss_knows_of_the_control(
    trials: tuple[TrialSpec, ...], sources: TrainingInputs
) -> None:
    """With the hidden weight at zero a control is forward."""
    bare = tuple(replace(t, loss=replace(t.loss, hidden=0.0)) for t in trials[:4])
    memory = train(Cohort(bare), sources)
    assert len({tuple(series(memory, t).items()) for t in bare}) == 1
