"""Noise that the students of a cohort share changes no weight of them, for each kind of task."""

from __future__ import annotations

from raykd.config.cohort import Cohort
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials
from raykd.training.trainer import CohortTrainer

from ...support.noise import differing, trained


def test_students_that_share_noise_are_those_that_draw_their_own(
    study: Study, trainer: CohortTrainer
) -> None:
    cohort = Cohort(confirm_trials(study)[:2])
    drawn, none = trained(trainer, cohort, replay=False)
    replayed, times = trained(trainer, cohort, replay=True)
    assert none == 0 and times
    assert differing(replayed, drawn) == []
