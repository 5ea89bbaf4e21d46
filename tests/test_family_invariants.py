"""The invariants of the training loop (cohorts, workers, stored teachers, interruptions, padding,
sealed labels) for every task family of `worlds.WORLDS`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raykd.config import load
from raykd.data import Prepared
from raykd.distill import Where
from raykd.fine_tune import fine_tune
from raykd.materials import Materials, run_cohort
from raykd.recorder import Memory
from raykd.sources import Sources
from raykd.study import Study, confirm_trials, resolve
from raykd.tasks.families import FAMILIES
from raykd.trial import Cohort

from .loop import Interrupt, series, told, train
from .worlds import WORLDS

ARMS = {
    "strategies": ["none", "forward", "reverse", "all_to_one", "random"],
    "inits": ["copied", "random"],
}


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def study(world: str, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    sweep = WORLDS[world](folder, confirm=ARMS)
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> Sources:
    return Sources.of(study, fine_tune(study).folder)


@pytest.fixture(scope="module")
def all_dry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same worlds without dropout, their teachers made."""
    folders = {world: tmp_path_factory.mktemp("dry") for world in WORLDS}
    for world, folder in folders.items():
        sweep = WORLDS[world](folder, dropout=0.0)
        fine_tune(resolve(load(sweep), folder / "home", "sweep.yaml"))
    return folders


@pytest.fixture(scope="module")
def dry(world: str, all_dry: dict[str, Path]) -> Path:
    return all_dry[world]


@pytest.fixture(scope="module")
def by_two(all_dry: dict[str, Path]) -> dict[str, Any]:
    """What the first of two workers told of each world, over real processes."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.two_workers", "2", str(rank), *all_dry.values()],
            cwd=Path(__file__).parents[1], stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]  # fmt: skip
    told_by = [process.communicate(timeout=600)[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    return dict(zip(WORLDS, map(json.loads, told_by[0].splitlines()), strict=True))


def of(folder: Path) -> tuple[Sources, Cohort]:
    study = resolve(load(folder / "sweep.yaml"), folder / "home", "sweep.yaml")
    trials = tuple(t for t in confirm_trials(study) if t.seed == 0)
    return Sources.of(study, fine_tune(study).folder), Cohort(trials)


@pytest.fixture(scope="module")
def plain(dry: Path) -> tuple[Sources, Cohort, Memory]:
    """A cohort trained without dropout, by one worker, a batch at a time."""
    sources, cohort = of(dry)
    return sources, cohort, train(cohort, sources)


def test_the_teacher_beats_one_and_the_same_answer(study: Study) -> None:
    assert fine_tune(study).test > fine_tune(study).test_majority + 15


def test_alone_and_in_a_cohort_a_trial_is_the_same_bitwise(study: Study, sources: Sources) -> None:
    """Invariant 1, with dropout on."""
    trials = [t for t in confirm_trials(study) if t.seed == 0][:5]
    together = train(Cohort(tuple(trials)), sources)
    for trial in trials:
        assert told(train(Cohort((trial,)), sources), trial) == told(together, trial)


def test_two_workers_give_the_loss_curve_of_one(
    world: str, plain: tuple[Sources, Cohort, Memory], by_two: dict[str, Any]
) -> None:
    """Invariant 2."""
    _, cohort, one = plain
    for trial in cohort.trials:
        for (step, a), (also, b) in zip(
            one.metrics[trial.id], by_two[world][trial.id], strict=True
        ):
            assert step == also and b == pytest.approx(a, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("size", [3, 40], ids=["the last part is smaller", "more than a batch"])
def test_micro_batches_give_the_losses_of_the_whole_batch(
    plain: tuple[Sources, Cohort, Memory], size: int
) -> None:
    """Counts are those of the global batch, by rows, valid tokens and loss positions each."""
    sources, cohort, whole = plain
    parts = train(cohort, sources, where=Where(micro_batch=size))
    for trial in cohort.trials:
        assert series(parts, trial) == pytest.approx(series(whole, trial), rel=1e-3, abs=1e-4)


def test_a_stored_teacher_gives_the_losses_of_a_live_one(
    study: Study, sources: Sources, tmp_path: Path
) -> None:
    """Invariant 3: cross entropy and KL to rounding, hidden losses to the storage's precision."""
    cohort = Cohort(tuple(t for t in confirm_trials(study) if t.seed == 0)[:4])
    stored = replace(sources, source="cached", cache=str(tmp_path), states=tuple(range(1, 5)))
    live, cached = train(cohort, sources), train(cohort, stored)
    for trial in cohort.trials:
        a, b = series(live, trial), series(cached, trial)
        assert a.keys() == b.keys()
        assert list(b.values()) == pytest.approx(list(a.values()), rel=5e-3, abs=1e-3)
        assert cached.opened[trial.id]["teacher_source"] == "cached float16"
        if trial.strategy != "none":  # what is compared is not one and the same
            assert any(a[k] != b[k] for k in a if k[1] == "hidden")
        first = min(step for step, _ in a)
        for term in ("ce", "kl"):
            assert b[first, term] == pytest.approx(a[first, term], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("stop_at", [4, 12])
def test_an_interrupted_trial_ends_as_if_it_had_not_been(
    study: Study, sources: Sources, tmp_path: Path, stop_at: int
) -> None:
    """Invariant 4."""
    cohort = Cohort(tuple(t for t in confirm_trials(study) if t.seed == 1)[:3])
    whole, first = train(cohort, sources), Memory()
    with pytest.raises(InterruptedError):
        run_cohort(cohort, sources, first, hooks=Interrupt(tmp_path, stop_at))
    resume = torch.load(tmp_path / "state.pt", weights_only=True)
    assert 0 < resume["step"] <= stop_at
    second = train(cohort, sources, resume=resume)
    for trial in cohort.trials:
        assert series(first, trial) | series(second, trial) == series(whole, trial)
        assert told(second, trial)[:2] == told(whole, trial)[:2]


def test_padding_changes_nothing(
    plain: tuple[Sources, Cohort, Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 6: training and evaluation on batches padded to the model's limit."""
    sources, cohort, short = plain
    kind = sources.task.kind
    family = FAMILIES[kind]
    longer = replace(family, collate=partial(family.collate, pad_to=60))
    monkeypatch.setitem(FAMILIES, kind, longer)
    long = train(cohort, sources)
    for trial in cohort.trials:
        assert series(short, trial) == pytest.approx(series(long, trial), rel=1e-3, abs=1e-4)


def test_test_labels_are_read_after_training_only(
    study: Study, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 7: nothing that a training process holds knows what is right in test, and the file
    that does is opened after the last step."""
    assert "label" not in study.prepared.rows("test").column_names
    data = Materials.load(sources, Where()).data
    assert data.test.labels is None
    events: list[str] = []
    read = Prepared.test_labels

    def reading(self: Prepared) -> np.ndarray:
        events.append("labels")
        return read(self)

    load_array = np.load

    def loading(file: Any, *args: Any, **kwargs: Any) -> Any:
        if "test_labels" in str(file):
            events.append("file")
        return load_array(file, *args, **kwargs)

    class Steps:
        def progress(self, step: int, examples: int, scores: Any) -> None:
            events.append(f"step {step}")

        def checkpoint(self, step: int, state: Any) -> None: ...

    monkeypatch.setattr(Prepared, "test_labels", reading)
    monkeypatch.setattr(np, "load", loading)
    cohort = Cohort(confirm_trials(study)[:2])
    train(cohort, sources, hooks=Steps())
    last = events.index(f"step {cohort.trials[0].training.steps}")
    assert events.index("labels") > last and events.index("file") > last


def test_a_finished_student_loads_in_plain_transformers(study: Study, sources: Sources) -> None:
    """Its folder holds weights and tokenizer, and answers as the student did when it was scored."""
    trial = confirm_trials(study)[1]
    found: dict[str, Any] = {}

    class Keeping(Memory):
        def finish(self, trial: Any, result: Any) -> None:
            family = FAMILIES[trial.task]
            model = family.auto.from_pretrained(result.student).eval()
            assert len(family.load_tokenizer(result.student)) > 10
            data = Materials.load(sources, Where()).data
            answers = family.evaluate(model, data.test, data, Where())
            found["score"] = family.score(trial.metric, answers, data.test_labels())
            found["told"] = result.metrics[f"test_{trial.metric}"]

    run_cohort(Cohort((trial,)), sources, Keeping(), keep=frozenset({trial.id}))
    assert found["score"] == found["told"]
