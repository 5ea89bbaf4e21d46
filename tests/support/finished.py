"""A sweep trained in this process, without Ray, into a real MLflow store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
import torch

from raykd.config.cohort import into_cohorts
from raykd.config.trial import TrialSpec
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import explore_trial
from raykd.runtime.execution import Execution
from raykd.sweep.sweep import Sweep
from raykd.sweep.teacher import ready_teacher
from raykd.tracking import store
from raykd.tracking.launch import Launch
from raykd.tracking.pages.inputs import DataUsed
from raykd.tracking.pages.links import save_confirm_view
from raykd.tracking.writer import Writer
from raykd.training.trainer import CohortTrainer


@contextmanager
def working_in(folder: Path) -> Iterator[Path]:
    """Work in a folder with a home of its own for the block, as a user in an empty folder does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        yield folder


def finish(sweep_file: Path, threads: int = 1, chosen: bool = False) -> Sweep:
    """Train every trial of the file, with explored maps drawn at random, and store the students of
    the first confirm seed. `chosen`: use the source of teacher outputs that a launch would
    choose."""
    torch.set_num_threads(threads)
    opened = Sweep.open(sweep_file)
    stored_teacher = ready_teacher(opened.study, opened.ledger)
    experiment = store.experiment(opened.ledger.client, opened.study.config.name)
    launch = Launch.start(opened.ledger.client, experiment, {}, "test")
    study = opened.study
    data_used = DataUsed.of(study.config.task.named, study.data, study.prepared.counts)
    save_confirm_view(opened.ledger.client, experiment, opened.study.config.task.metric)
    choice = opened.state().plan.choice() if chosen else None
    trainer = CohortTrainer.load(
        training_inputs(opened.study, stored_teacher.folder, choice), Execution()
    )

    def train(trials: Sequence[TrialSpec], keep: frozenset[str] = frozenset()) -> None:
        for cohort in into_cohorts(trials, 8):
            writer = Writer(
                opened.ledger.uri, experiment, launch.run_id, cohort.id, {}, data=data_used
            )
            trainer.run(cohort, writer, keep=keep)

    explore, space = opened.study.config.explore, opened.state().plan.space
    if explore is not None and space is not None:
        maps = space.unseen((), explore.maps, Random(0))
        train([explore_trial(opened.study, m) for m in maps])
    opened.ledger.refresh()
    trials = opened.state().plan.confirm
    train(trials, frozenset(t.id for t in trials if t.seed == trials[0].seed))
    launch.end("FINISHED")
    return opened
