"""The students alone, by plain means: what a distillation is measured against.

Batches, optimiser and clipping are those of raykd's cohort, and each student trains its whole word
embedding; cross entropy only: no teacher, no other loss, no logging, no evaluation. Building them
is inside the clock, as it is in raykd's.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import frame
from benchmarks.cohort import fresh_home
from benchmarks.frame import Clock, Outcome, Setting
from benchmarks.setting import prepare
from raykd.config.trial import TrialSpec, learning_rate
from raykd.data.batches import by_epoch, collate
from raykd.models.student import build_student
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.runtime.seeds import stream
from raykd.tasks.task import Data
from raykd.training.trainer import CohortTrainer


def steps(student: Any, trial: TrialSpec, data: Data, setting: Setting, count: int) -> None:
    t, rows = trial.training, data.train
    optimizer = torch.optim.AdamW(frame.decayed(student, t.weight_decay), lr=t.lr, fused=True)
    student.train()
    order = by_epoch(rows.lengths, t.batch, stream(trial.seed, "order"))
    for step, (_, chosen) in enumerate(islice(order, count)):
        batch = collate(rows, chosen, data.pad, len(chosen), int(rows.lengths[chosen].sum()))
        assert batch.labels is not None
        with frame.autocast(setting):
            loss = F.cross_entropy(student(**batch.inputs).logits, batch.labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(student.parameters(), t.clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(trial, step)
        optimizer.step()


def train(setting: Setting, clock: Clock) -> Outcome:
    with fresh_home(setting) as home:
        study, teacher = prepare(setting.sweep, home)
        materials = CohortTrainer.load(training_inputs(study, Path(teacher)), Execution())
        trials = [t for t in confirm_trials(study) if t.seed == setting.seed][: setting.students]

        def build(trial: TrialSpec) -> Any:
            return build_student(materials.teacher, trial.shape, trial.init, 0)

        clock.loaded()
        steps(build(trials[0]), trials[0], materials.data, setting, frame.WARM_STEPS)
        clock.start()
        for trial in trials:
            student = build(trial)
            steps(student, trial, materials.data, setting, setting.steps)
        clock.stop()
    return Outcome(len(trials), clock.seconds, frame.accuracy(student, setting))


if __name__ == "__main__":
    frame.main(train)
