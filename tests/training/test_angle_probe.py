"""Angles measured in a training: they change nothing, and how rows are batched changes no angle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training import angle_probe
from raykd.training.angle_probe import Probe, Stored
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..support.loop import told, train
from ..support.padded_task import padded_task
from ..support.world import write_sweep

ROWS = 20


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    sweep = write_sweep(
        folder,
        confirm={"strategies": ["none", "forward", "reverse"], "inits": ["copied", "random"]},
        angles={"rows": ROWS},
    )
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


@pytest.fixture(scope="module")
def materials(sources: TrainingInputs) -> CohortTrainer:
    torch.set_num_threads(1)
    return CohortTrainer.load(sources, Execution())


def probe_of(materials: CohortTrainer, rows: int = ROWS) -> Probe:
    return Probe(materials.teacher, materials.data, rows, Execution(), materials.build)


def untrained(materials: CohortTrainer, trial: TrialSpec) -> Stored:
    return Stored(trial, materials.build(trial), torch.nn.ModuleDict())


def first(study: Study, strategy: str, init: str = "copied") -> TrialSpec:
    return next(t for t in confirm_trials(study) if t.strategy == strategy and t.init.kind == init)


def test_looking_changes_nothing_about_the_training(study: Study, sources: TrainingInputs) -> None:
    """Nor do the neighbours change what is seen: invariant 1, with dropout on."""
    trials = tuple(t for t in confirm_trials(study) if t.seed == 0)
    seen = train(Cohort(trials), sources)
    unseen = train(Cohort(trials), replace(sources, angles=None))
    assert unseen.measured == {}
    for trial in trials:
        assert without_angles(told(seen, trial)) == told(unseen, trial)
        assert list(seen.measured[trial.id]) == [4, 8, 12]
        assert {m.rows for m in seen.measured[trial.id].values()} == {ROWS}
    alone = train(Cohort(trials[1:2]), sources)
    assert alone.measured[trials[1].id] == seen.measured[trials[1].id]
    assert told(alone, trials[1]) == told(seen, trials[1])


def without_angles(told_: tuple[Any, ...]) -> tuple[Any, ...]:
    *rest, series = told_
    return (*rest, {k: v for k, v in series.items() if not k[1].startswith("angle_")})


def test_the_trials_id_does_not_know_of_it(study: Study) -> None:
    plain = replace(study, config=study.config.model_copy(update={"angles": False}))
    assert [t.id for t in confirm_trials(plain)] == [t.id for t in confirm_trials(study)]
    assert plain.config.angle_rows is None


def test_a_copied_student_sees_the_block_it_is_in_no_direction(
    study: Study, materials: CohortTrainer
) -> None:
    """Copied from teacher blocks 1 and 2, both of its states are the teacher's own."""
    trial = first(study, "forward")
    trial = replace(trial, init=replace(trial.init, blocks=(1, 2)))
    (found,) = probe_of(materials).measure([untrained(materials, trial)], [0], "stored")
    assert found is not None
    tokens = found.blocks[0].pairs[-1].raw.tokens
    for block in found.blocks:
        for pair in block.pairs:
            hidden = block.student in (pair.first, pair.second)
            assert pair.raw.tokens == (0 if hidden else tokens)


def test_untrained_students_are_their_own_null(study: Study, materials: CohortTrainer) -> None:
    student = untrained(materials, first(study, "none", "random"))
    (found,) = probe_of(materials).measure([student], [0])
    assert found is not None
    for pair in (p for b in found.blocks for p in b.pairs):
        assert pair.untrained.cosine == pytest.approx(pair.raw.cosine, abs=1e-4)


def test_only_valid_tokens_count_however_far_they_are_padded(
    study: Study, materials: CohortTrainer
) -> None:
    """Invariant 6."""
    student = untrained(materials, first(study, "forward", "random"))
    (short,) = probe_of(materials).measure([student], [0])

    family = materials.data.family
    longer = padded_task(family, 60)
    padded = replace(materials, data=replace(materials.data, family=longer))
    (long,) = probe_of(padded).measure([student], [0])
    assert short is not None and long is not None
    encoded = materials.data.select
    kept = np.linspace(0, len(encoded.ids) - 1, ROWS).round().astype(int)
    tokens = int(encoded.lengths[kept].sum())
    for a, b in zip(short.blocks, long.blocks, strict=True):
        for p, q in zip(a.pairs, b.pairs, strict=True):
            assert p.raw.tokens == q.raw.tokens == tokens
            assert p.raw.cosine == pytest.approx(q.raw.cosine, abs=1e-4)
            assert p.untrained.cosine == pytest.approx(q.untrained.cosine, abs=1e-4)


def test_batches_in_any_order_and_size(
    study: Study, materials: CohortTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = untrained(materials, first(study, "forward", "random"))
    (whole,) = probe_of(materials).measure([student], [0])
    probe = probe_of(materials)
    probe._batches.reverse()
    (reversed_,) = probe.measure([student], [0])
    monkeypatch.setattr(angle_probe, "BATCH", 3)
    (small,) = probe_of(materials).measure([student], [0])
    assert whole is not None and reversed_ is not None and small is not None
    for other, views in ((reversed_, ("raw", "centred", "shuffled")), (small, ("raw", "centred"))):
        for block, same in zip(whole.blocks, other.blocks, strict=True):
            for view in views:
                assert block.cosine(view) == pytest.approx(same.cosine(view), abs=1e-5)


def test_a_narrow_student_is_seen_through_its_projections(
    study: Study, sources: TrainingInputs
) -> None:
    """Where it matches nothing it has none, and is not measured."""
    narrow = [
        replace(t, shape=replace(t.shape, width=16))
        for t in (first(study, "forward", "random"), first(study, "none", "random"))
    ]
    memory = train(Cohort(tuple(narrow)), sources)
    assert list(memory.measured) == [narrow[0].id]
    last = memory.measured[narrow[0].id][12]
    assert [b.student for b in last.blocks] == [1, 2] and last.width == 32


def test_the_students_and_the_random_streams_are_left_as_they_were(
    study: Study, materials: CohortTrainer
) -> None:
    student = untrained(materials, first(study, "forward"))
    student.model.train()
    before = {k: v.clone() for k, v in student.model.state_dict().items()}
    state, numpy = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    probe_of(materials)([student], 1, Memory())
    assert student.model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in student.model.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy)  # type: ignore[index]
    assert all(torch.equal(v, before[k]) for k, v in student.model.state_dict().items())


def test_as_many_rows_as_there_are(study: Study, materials: CohortTrainer) -> None:
    student = untrained(materials, first(study, "none"))
    (found,) = probe_of(materials, 10_000).measure([student], [0])
    assert found is not None and found.rows == len(materials.data.select.ids)
