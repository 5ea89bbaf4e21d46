"""The loop's invariants in one process: cohorts, interruptions, padding, sealed labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raykd import distill, materials
from raykd.config import load
from raykd.data import Prepared
from raykd.fine_tune import fine_tune
from raykd.layermap import LayerMap
from raykd.materials import run_cohort
from raykd.recorder import Memory
from raykd.sources import Sources
from raykd.study import Study, confirm_trials, resolve
from raykd.tasks import classification
from raykd.tasks.families import FAMILIES
from raykd.trial import Cohort, TrialSpec

from .world import write_model, write_sweep

TIMES = {"seconds", "teacher_seconds", "examples_per_second", "peak_memory_mb"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    strategies = ["none", "forward", "reverse", "all_to_one", "random"]
    sweep = write_sweep(folder, confirm={"strategies": strategies, "inits": ["copied", "random"]})
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> Sources:
    return Sources.of(study, fine_tune(study).folder)


def train(cohort: Cohort, sources: Sources, **options: Any) -> Memory:
    torch.set_num_threads(1)
    memory = Memory()
    run_cohort(cohort, sources, memory, **options)
    return memory


def told(memory: Memory, trial: TrialSpec) -> tuple[Any, ...]:
    """All that was told of a trial but its times."""
    result = memory.results[trial.id]
    metrics = {k: v for k, v in result.metrics.items() if k not in TIMES}
    return metrics, dict(result.predictions), series(memory, trial)


def series(memory: Memory, trial: TrialSpec) -> dict[tuple[int, str], float]:
    logged = memory.metrics.get(trial.id, [])
    return {(step, name): value for step, metrics in logged for name, value in metrics.items()}


def test_the_teacher_beats_the_majority(study: Study) -> None:
    assert fine_tune(study).test > fine_tune(study).test_majority + 20


def test_a_trial_alone_equals_the_same_trial_in_a_cohort_bitwise(
    study: Study, sources: Sources
) -> None:
    """Invariant 1, for one to five neighbours, with dropout on."""
    trials = [t for t in confirm_trials(study) if t.seed == 0][:5]
    assert len(trials) == 5
    together = train(Cohort(tuple(trials)), sources)
    for trial in trials:
        assert told(train(Cohort((trial,)), sources), trial) == told(together, trial)


def test_a_stored_teacher_gives_the_losses_of_a_live_one(
    study: Study, sources: Sources, tmp_path: Path
) -> None:
    """Invariant 3: to the storage's precision, which the losses at every tick stay within."""
    trials = [t for t in confirm_trials(study) if t.seed == 0][:4]
    stored = replace(sources, source="cached", cache=str(tmp_path), states=tuple(range(1, 5)))
    live = train(Cohort(tuple(trials)), sources)
    cached = train(Cohort(tuple(trials)), stored)
    for trial in trials:
        a, b = series(live, trial), series(cached, trial)
        assert a.keys() == b.keys()
        assert list(b.values()) == pytest.approx(list(a.values()), rel=5e-3, abs=1e-4)
        assert live.opened[trial.id]["teacher_source"] == "live"
        assert cached.opened[trial.id]["teacher_source"] == "cached float16"
    hidden = [k for k in series(cached, trials[1]) if k[1] == "hidden"]
    assert hidden and any(
        series(live, trials[1])[k] != series(cached, trials[1])[k] for k in hidden
    )


def test_micro_batches_give_the_losses_of_the_whole_batch(tmp_path: Path) -> None:
    """Parts of a share count valid tokens and rows of the global batch: their sum is its loss."""
    write_model(tmp_path / "model", dropout=0.0)
    sweep = write_sweep(tmp_path, losses={"kind": "cosine"})
    own = resolve(load(sweep), tmp_path / "home", str(sweep))
    trials = tuple(t for t in confirm_trials(own) if t.seed == 0)
    found = fine_tune(own).folder

    def curves(micro_batch: int | None) -> list[float]:
        where = distill.Where(micro_batch=micro_batch)
        memory = train(Cohort(trials), Sources.of(own, found), where=where)
        return [v for t in trials for v in series(memory, t).values()]

    whole = curves(None)
    for size in (1, 5, 16, 40):
        assert curves(size) == pytest.approx(whole, rel=1e-3, abs=1e-4)


class Interrupt:
    """Keeps every checkpoint as it would be on disk, and stops the training at a step."""

    def __init__(self, folder: Path, stop_at: int | None) -> None:
        self.folder, self.stop_at = folder, stop_at

    def progress(self, step: int, examples: int, scores: Any) -> None:
        if self.stop_at is not None and step >= self.stop_at:
            raise InterruptedError

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        torch.save(state(), self.folder / "state.pt")


@pytest.mark.parametrize("stop_at", [4, 9, 12])
def test_an_interrupted_trial_ends_as_if_it_had_not_been(
    study: Study, sources: Sources, tmp_path: Path, stop_at: int
) -> None:
    """Invariant 4: from a checkpoint read back without pickle, after steps that are done again."""
    cohort = Cohort(tuple(t for t in confirm_trials(study) if t.seed == 1)[:3])
    whole = train(cohort, sources)
    first = Memory()
    with pytest.raises(InterruptedError):
        run_cohort(cohort, sources, first, hooks=Interrupt(tmp_path, stop_at))
    resume = torch.load(tmp_path / "state.pt", weights_only=True)
    assert 0 < resume["step"] <= stop_at
    second = train(cohort, sources, resume=resume)
    for trial in cohort.trials:
        assert series(first, trial) | series(second, trial) == series(whole, trial)
        assert told(second, trial)[:2] == told(whole, trial)[:2]


def test_padding_changes_nothing(
    study: Study, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 6: the whole training on batches padded to the model's limit, dropout off."""
    cohort = Cohort(tuple(t for t in confirm_trials(study) if t.seed == 0)[:5])
    without_dropout(monkeypatch)
    short = train(cohort, sources)

    collate = classification.collate
    longer = replace(classification.FAMILY, collate=partial(collate, pad_to=60))
    monkeypatch.setitem(FAMILIES, "classification", longer)
    long = train(cohort, sources)
    for trial in cohort.trials:
        assert series(short, trial) == pytest.approx(series(long, trial), rel=1e-3, abs=1e-4)


def without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    build = materials.build_student

    def build_dry(*args: Any) -> Any:
        model = build(*args)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
        model.config.attention_probs_dropout_prob = 0.0
        return model

    monkeypatch.setattr(materials, "build_student", build_dry)


def test_test_labels_are_not_read_before_training_has_ended(
    study: Study, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 7: the test rows of the training process carry no label, and the file that holds
    them is opened only after the last step."""
    assert "label" not in study.prepared.rows("test").column_names
    events: list[str] = []
    read = Prepared.test_labels

    def reading(self: Prepared) -> np.ndarray:
        events.append("labels")
        return read(self)

    class Steps:
        def progress(self, step: int, examples: int, scores: Any) -> None:
            events.append(f"step {step}")

        def checkpoint(self, step: int, state: Any) -> None: ...

    opened: list[str] = []
    load_array = np.load

    def loading(file: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(str(file))
        if "test_labels" in str(file):
            events.append("file")
        return load_array(file, *args, **kwargs)

    monkeypatch.setattr(Prepared, "test_labels", reading)
    monkeypatch.setattr(np, "load", loading)
    cohort = Cohort(confirm_trials(study)[:2])
    train(cohort, sources, hooks=Steps())
    steps = cohort.trials[0].training.steps
    assert events.index("labels") > events.index(f"step {steps}")
    assert events.index("file") > events.index(f"step {steps}")
    assert any("encoded" in f for f in opened)


def test_a_diverged_student_leaves_and_the_rest_go_on(study: Study, sources: Sources) -> None:
    good = confirm_trials(study)[0]
    wild = replace(good, strategy="wild", training=replace(good.training, lr=1e30))
    together = train(Cohort((wild, good)), sources)
    assert "diverged" in together.failures[wild.id]
    assert wild.id not in together.results
    assert told(together, good) == told(train(Cohort((good,)), sources), good)


def test_a_trial_that_is_finished_already_is_not_trained(study: Study, sources: Sources) -> None:
    trials = confirm_trials(study)[:2]
    done = train(Cohort((trials[0],)), sources)
    before = len(done.metrics[trials[0].id])
    run_cohort(Cohort(trials), sources, done)
    assert len(done.metrics[trials[0].id]) == before
    assert trials[1].id in done.results


def test_each_pair_is_logged_by_itself(study: Study, sources: Sources) -> None:
    trial = replace(
        confirm_trials(study)[0], strategy="custom", layer_map=LayerMap((None, 3), embedding=0)
    )
    metrics = train(Cohort((trial,)), sources).metrics[trial.id]
    losses = next(m for _, m in metrics if "loss" in m)
    assert {"hidden_0_to_0", "hidden_2_to_3"} <= set(losses)
    pairs = [losses["hidden_0_to_0"], losses["hidden_2_to_3"]]
    assert losses["hidden"] == pytest.approx(sum(pairs) / 2, rel=1e-5)


def test_matching_pulls_the_student_towards_its_teacher(study: Study, sources: Sources) -> None:
    trial = next(t for t in confirm_trials(study) if t.strategy == "forward")
    metrics = train(Cohort((trial,)), sources).metrics[trial.id]
    hidden = [m["hidden"] for _, m in metrics if "hidden" in m]
    assert hidden[-1] < hidden[0]


def test_width_trains_projections_and_leaves_them_out_of_the_student(
    study: Study, sources: Sources
) -> None:
    base = next(
        t for t in confirm_trials(study) if t.strategy == "forward" and t.init.kind == "random"
    )
    narrow = replace(base, shape=replace(base.shape, width=16))
    kept: dict[str, list[str]] = {}

    class Keeping(Memory):
        def finish(self, trial: TrialSpec, result: Any) -> None:
            from safetensors import safe_open

            with safe_open(result.student / "model.safetensors", "pt") as weights:
                kept[trial.id] = list(weights.keys())
            super().finish(trial, result)

    memory = Keeping()
    run_cohort(Cohort((narrow,)), sources, memory, keep=frozenset({narrow.id}))
    hidden = [m["hidden"] for _, m in memory.metrics[narrow.id] if "hidden" in m]
    assert hidden[-1] < hidden[0]
    assert kept[narrow.id] and not any("proj" in name for name in kept[narrow.id])
