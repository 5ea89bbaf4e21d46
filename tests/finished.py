"""A sweep trained in this process, without Ray, into a real MLflow store."""

from __future__ import annotations

from pathlib import Path

import torch

from raykd.cluster.sweep import Sweep
from raykd.distill import Where
from raykd.materials import Materials
from raykd.sources import Sources
from raykd.study import confirm_trials
from raykd.tracking import store
from raykd.tracking.launch import Launch
from raykd.tracking.writer import Writer
from raykd.trial import into_cohorts


def finish(sweep_file: Path) -> Sweep:
    """Train every confirm trial of the file; the students of the first seed are kept."""
    torch.set_num_threads(1)
    opened = Sweep.open(sweep_file)
    found = opened.teacher()
    experiment = store.experiment(opened.client, opened.study.config.name)
    launch = Launch.start(opened.client, experiment, {}, "test")
    materials = Materials.load(Sources.of(opened.study, found.folder), Where())
    trials = confirm_trials(opened.study)
    keep = frozenset(t.id for t in trials if t.seed == trials[0].seed)
    for cohort in into_cohorts(trials, 8):
        writer = Writer(opened.uri, experiment, launch.run_id, cohort.id, {})
        materials.run(cohort, writer, keep=keep)
    launch.end("FINISHED")
    return opened
