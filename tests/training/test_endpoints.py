"""NLL, Brier score and agreement with the teacher of trained students, against direct definitions
from what is stored for each test example."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from sklearn.metrics import log_loss

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.runtime.group import Group
from raykd.sweep.fine_tune import fine_tune
from raykd.tasks.endpoints import COLUMNS, LARGER_IS_BETTER, nll_and_brier
from raykd.tasks.task import Task
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..support.lm_world import WRITTEN, write_lm_sweep
from ..support.loop import train
from ..support.world import write_sweep

WORLDS = {"classes": write_sweep, "choices": write_lm_sweep}
TRAINING = {"steps": 6, "batch": 16, "lr": 1e-3, "evaluations": 1, "precision": "fp32"}


@pytest.fixture(scope="module", params=WORLDS)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, TrainingInputs]:
    folder = tmp_path_factory.mktemp("world")
    sweep = WORLDS[request.param](folder, training=TRAINING)
    study = resolve(load(sweep), folder / "home", str(sweep))
    return study, training_inputs(study, fine_tune(study).folder)


def log_probabilities(predictions: dict[str, Any]) -> np.ndarray:
    """Of the stored logits, or of the log-likelihoods of choices."""
    logits = [v for k, v in predictions.items() if k.startswith("logit_")]
    stored = torch.tensor(logits).T if logits else torch.tensor(predictions["log_likelihoods"])
    return torch.log_softmax(stored.double(), -1).numpy()


def test_endpoints_are_those_of_the_stored_predictions(world: tuple[Study, TrainingInputs]) -> None:
    study, sources = world
    trials = confirm_trials(study)[:2]
    memory = train(Cohort(trials), sources)
    trainer = CohortTrainer.load(sources, Execution())
    data, task = trainer.data, trainer.data.family
    labels = data.test_labels()
    teacher = task.chosen(
        task.evaluate(trainer.teacher, data.test, data, Execution()), data.task.metric
    )
    for trial in trials:
        result = memory.results[trial.id]
        predictions = dict(result.predictions)
        log_p = log_probabilities(predictions)
        classes = np.arange(log_p.shape[1])
        own = log_p.argmax(-1)
        assert result.metrics["endpoints/nll"] == pytest.approx(
            log_loss(labels, np.exp(log_p), labels=classes)
        )
        right = np.eye(len(classes))[labels]
        brier = ((np.exp(log_p) - right) ** 2).sum(1)
        assert result.metrics["endpoints/brier"] == pytest.approx(brier.mean())
        assert predictions["brier"] == pytest.approx(brier.tolist())
        assert predictions["nll"] == pytest.approx(
            (-log_p[np.arange(len(labels)), labels]).tolist()
        )
        assert predictions["agrees"] == (own == teacher).tolist()
        assert result.metrics["endpoints/agreement"] == pytest.approx(100 * (own == teacher).mean())
        assert {len(column) for column in predictions.values()} == {len(labels)}


def test_the_teacher_answers_once_a_home(
    world: tuple[Study, TrainingInputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no student answers test more often than once."""
    study, sources = world
    first, second = (Cohort((t,)) for t in confirm_trials(study)[2:4])
    tested: list[str] = []
    trainer = CohortTrainer.load(sources, Execution())
    evaluate = type(trainer.data.family).evaluate

    def evaluating(self: Task, model: Any, encoded: Any, *rest: Any) -> np.ndarray:
        if encoded is trainer.data.test:
            tested.append("teacher" if model is trainer.teacher else "student")
        return evaluate(self, model, encoded, *rest)

    monkeypatch.setattr(type(trainer.data.family), "evaluate", evaluating)
    for file in (study.home / "kept").glob("*.json"):
        if '"teacher choices"' in file.read_text(encoding="utf-8"):
            file.unlink()
    for cohort in (first, second):
        memory = train_with(trainer, cohort)
        assert "agrees" in memory.results[cohort.trials[0].id].predictions
    assert sorted(tested) == ["student", "student", "teacher"]


def train_with(trainer: CohortTrainer, cohort: Cohort) -> Memory:
    memory = Memory()
    trainer.run(cohort, memory)
    return memory


def work(rank: int, store: Path, sources: TrainingInputs, queue: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(str(store), 2), rank=rank, world_size=2)
    where = Execution(group=Group.current())
    queue.put(CohortTrainer.load(sources, where)._choices("accuracy", where).tolist())
    dist.barrier()
    dist.destroy_process_group()


def test_two_workers_divide_the_rows_of_the_teacher_once(tmp_path: Path) -> None:
    """One of them looks for stored choices: were each to look, one could find what the other has
    just stored, and evaluate alone for ever."""
    sweep = write_sweep(tmp_path, training=TRAINING)
    study = resolve(load(sweep), tmp_path / "home", str(sweep))
    sources = training_inputs(study, fine_tune(study).folder)
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    workers = [
        fork.Process(target=work, args=(rank, tmp_path / "store", sources, queue))
        for rank in range(2)
    ]
    for process in workers:
        process.start()
    first, second = (queue.get(timeout=300) for _ in workers)
    for process in workers:
        process.join()
    where = Execution()
    alone = CohortTrainer.load(sources, where)
    data, task = alone.data, alone.data.family
    direct = task.chosen(task.evaluate(alone.teacher, data.test, data, where), "accuracy")
    assert direct is not None
    assert first == second == direct.tolist() == alone._choices("accuracy", where).tolist()


def test_generated_texts_have_no_endpoints(tmp_path: Path) -> None:
    sweep = write_lm_sweep(tmp_path, WRITTEN, training=TRAINING)
    study = resolve(load(sweep), tmp_path / "home", str(sweep))
    sources = training_inputs(study, fine_tune(study).folder)
    trial = confirm_trials(study)[0]
    result = train(Cohort((trial,)), sources).results[trial.id]
    assert not set(result.predictions) & set(COLUMNS.values())
    assert not any(name.startswith("endpoints/") for name in result.metrics)


def test_a_certain_student_has_finite_scores() -> None:
    """Softmax in doubles does not overflow, and a lacking choice takes no probability."""
    logits = np.array([[1e4, 0.0, -np.inf], [0.0, 1e4, -np.inf], [0.0, 0.0, -np.inf]])
    nll, brier = nll_and_brier(logits, np.array([0, 0, 1]))
    assert nll == pytest.approx([0.0, 1e4, np.log(2)])
    assert brier == pytest.approx([0.0, 2.0, 0.5])
    assert COLUMNS.keys() == LARGER_IS_BETTER.keys()
