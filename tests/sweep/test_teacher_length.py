"""How long a teacher is trained: until its score on select stops rising, within bounds, or as long
as the file says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from raykd.cli.terminal import output
from raykd.config.cohort import Cohort
from raykd.config.sweep import SweepConfig, load
from raykd.config.training import Teacher
from raykd.config.trial import MOST_EPOCHS, PATIENCE, WARMED, learning_rate
from raykd.errors import UserError
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_trial import teacher_trial
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.tasks.registry import task as task_of
from raykd.teachers import teacher as teachers
from raykd.training.distill import distill
from raykd.training.early_stopping import marks, stalled
from raykd.training.recorder import Memory
from raykd.training.trainer import load_data, trainable

from ..support.loop import Interrupt
from ..support.smallest import with_key
from ..support.specs import spec
from ..support.world import write_sweep


def study(folder: Path, **teacher: Any) -> Study:
    stated = {"model": str(folder / "model"), "lr": 3e-3, **teacher}
    return resolve(load(write_sweep(folder, teacher=stated)), folder / "home", "sweep.yaml")


def fitted(made: Study, **options: Any) -> Memory:
    """The teacher's training by itself."""
    torch.set_num_threads(1)
    trial, family, base = teacher_trial(made), task_of("classification"), made.base.folder
    names = made.prepared.labels
    data = load_data(family, made.prepared, names, base, made.config.task, made.home)
    torch.manual_seed(0)
    model = family.load_model(base, names, trained=False)
    trainable(model, trial, Execution())
    memory = Memory()
    distill(Cohort((trial,)), data, lambda _: model, None, 32, memory, **options)
    return memory


def by_step(memory: Memory) -> dict[int, float]:
    logged = [told for trial in memory.metrics.values() for told in trial]
    return {step: m["select_accuracy"] for step, m in logged if "select_accuracy" in m}


def test_it_ends_when_select_stops_rising_and_the_best_is_kept(tmp_path: Path) -> None:
    made = study(tmp_path)
    trial, memory = teacher_trial(made), fitted(made)
    scores, (result,) = by_step(memory), memory.results.values()
    steps = trial.training.steps
    assert max(scores) < steps
    assert list(scores) == sorted(marks(steps, MOST_EPOCHS))[: len(scores)]  # once an epoch
    best = next(s for s in scores if scores[s] == max(scores.values()))
    assert result.metrics["best_step"] == best
    assert list(scores).index(best) == len(scores) - 1 - PATIENCE

    stored = fine_tune(made)
    assert (stored.epochs, stored.best_epoch) == (len(scores), len(scores) - PATIENCE)
    assert stored.select == max(scores.values())
    assert teachers.stored(made.home, made.teacher) == stored


@pytest.mark.parametrize("evaluation", [1, 3, "last"])
def test_a_training_that_is_resumed_ends_where_it_would_have_ended(
    tmp_path: Path, evaluation: int | str
) -> None:
    made = study(tmp_path)
    whole = fitted(made)
    looks = list(by_step(whole))
    at = looks[-1] if evaluation == "last" else looks[int(evaluation)]
    hooks = Interrupt(tmp_path, at)
    with pytest.raises(InterruptedError):
        fitted(made, hooks=hooks)
    again = fitted(made, resume=torch.load(tmp_path / "state.pt"))
    assert {**by_step(whole), **by_step(again)} == by_step(whole)
    (ended,), (before,) = again.results.values(), whole.results.values()
    for name in ("test_accuracy", "best_select_accuracy", "best_step"):
        assert ended.metrics[name] == before.metrics[name]


def test_as_long_as_nothing_is_learned_it_goes_on(tmp_path: Path) -> None:
    made = study(tmp_path, lr=1e-9, allow_weak=True)
    trial, scores = teacher_trial(made), by_step(fitted(made))
    labels = made.prepared.rows("select")["label"]
    majority = 100 * np.bincount(labels).max() / len(labels)
    assert max(scores.values()) <= majority
    assert max(scores) == trial.training.steps


def learner(best_step: int, best_score: float, patience: int | None) -> Any:
    trial = spec(steps=100, evaluations=10)
    training = SimpleNamespace(patience=patience, steps=100, evaluations=10)
    return SimpleNamespace(
        trial=SimpleNamespace(training=training, metric=trial.metric),
        best_step=best_step,
        best_score=best_score,
    )


def rows(baseline: Callable[..., float], sign: int) -> Any:
    return SimpleNamespace(
        select=SimpleNamespace(labels=np.zeros(3)), family=SimpleNamespace(baseline=baseline),
        sign=lambda metric: sign,
    )  # fmt: skip


@pytest.mark.parametrize("done", range(0, 101))
def test_it_has_stalled_after_so_many_evaluations_without_a_rise(done: int) -> None:
    """Or a fall, for a metric of which smaller is better."""
    for sign in (1, -1):
        data = rows(lambda metric, labels, encoded, sign=sign: sign * 50.0, sign)
        assert stalled(learner(20, sign * 60.0, 3), done, data) == (done >= 50)
        assert not stalled(learner(20, sign * 50.0, 3), done, data)  # not yet begun to rise
        assert not stalled(learner(20, sign * 60.0, None), done, data)


def test_a_stated_number_is_what_it_always_was(tmp_path: Path) -> None:
    made = study(tmp_path, epochs=2, allow_weak=True)
    training, count = teacher_trial(made).training, made.prepared.counts["train"]
    assert (training.patience, training.evaluations, training.warmup) == (None, 2, 0.1)
    assert training.steps == -(-2 * count // 32)
    assert "patience" not in teacher_trial(made).to_json()["training"]
    assert fine_tune(made).epochs is None


def test_the_rate_stays_where_it_is_after_a_warm_up_of_known_length(tmp_path: Path) -> None:
    made = study(tmp_path)
    trial = teacher_trial(made)
    rates = [learning_rate(trial, step) for step in range(trial.training.steps)]
    warm = round(0.1 * WARMED / MOST_EPOCHS * trial.training.steps)
    assert rates[: warm + 1] == sorted(rates[: warm + 1])
    assert set(rates[warm:]) == {3e-3}


def test_both_forms_are_read_and_a_mistake_is_one_line(tmp_path: Path) -> None:
    assert Teacher(model="x").epochs == "auto"
    for written, read in ((3, 3.0), ("1.5e0", 1.5), ("auto", "auto")):
        sweep = SweepConfig.model_validate(with_key(("teacher", "epochs"), written))
        assert sweep.teacher.epochs == read
    for written, told in (
        ("atuo", '"atuo" is not known; did you mean auto? Known: auto, or a number'),
        ("null", "null will not do; write a number"),
        (0, "0 will not do; write a number greater than 0"),
        ("[2]", "[2] will not do; write a number"),
    ):
        file = tmp_path / "sweep.yaml"
        file.write_text(
            "name: x\ntask: {data: movie-reviews}\nstudent: {blocks: 3}\n"
            f"teacher: {{model: minilm, epochs: {written}}}\n"
        )
        with pytest.raises(UserError) as error:
            load(file)
        assert error.value.lines == (f"{file}: teacher.epochs: {told}",)


def test_how_long_it_took_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(**length: int) -> str:
        output.teacher(
            teachers.Stored(tmp_path, "f" * 12, "accuracy", 80.0, 79.0, 50.0, 50.0, 1.0, **length)
        )
        return capsys.readouterr().out

    assert len(told().splitlines()) == 1
    assert "trained for 9 epochs" in told(epochs=9, best_epoch=6)
    assert "still rose in the last of 20 epochs" in told(epochs=20, best_epoch=20)
