"""One optimisation step of students that share a teacher: targets, losses, gradients, update.

The loop over a cohort of a sweep (distill.py) and that over a caller's own models (public.py) take
the same step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from raykd.config.trial import TargetKind
from raykd.runtime.execution import Execution
from raykd.runtime.seeds import reseed, stream
from raykd.teachers.targets import Part, TeacherSource
from raykd.training.dropout_replay import replayed_dropout, replays
from raykd.training.learner import Learner


def with_targets(
    teacher: TeacherSource | None, parts: Sequence[Part], where: Execution, seed: int, step: int
) -> list[Part]:
    """The parts of this worker on its device, each with its targets. `parts` hold what the teacher
    prefetched. The dropout of a teacher, where it is on, depends on seed, step, worker and part
    alone, as that of students does."""
    ready: list[Part] = []
    for part, (batch, prefetched) in enumerate(parts):
        reseed(stream(seed, "teacher", step, where.group.rank, part))
        moved = batch.to(where.device)
        targets = teacher(moved, prefetched) if teacher and len(batch.ids) else None
        ready.append((moved, targets))
    return ready


def optimize(
    learners: Sequence[Learner],
    targets: Mapping[TargetKind, Sequence[Part]],
    step: int,
    where: Execution,
) -> None:
    """One optimisation step of every student; `step` counts from 0. A student is updated when the
    next one has computed its gradients, so that they travel meanwhile and those of two students
    exist at a time. Students that draw the same dropout noise follow one another, so that the noise
    of one shape exists at a time."""
    before: Learner | None = None
    replay = replays(where)  # the same on every worker, as the order of the students must be
    for group in _of_equal_noise(learners) if replay else [learners]:
        with replayed_dropout() if replay and len(group) > 1 else nullcontext():
            for learner in group:
                parts = targets[learner.trial.targets]
                for i, (batch, part_targets) in enumerate(parts):
                    learner.backward(batch, part_targets, step, i, len(parts))
                if before is not None:
                    before.update(step)
                before = learner
    assert before is not None
    before.update(step)


def _of_equal_noise(learners: Sequence[Learner]) -> list[list[Learner]]:
    """Students with dropout of the same shapes in the same order, as far as a trial says."""
    groups: dict[tuple[object, ...], list[Learner]] = {}
    for learner in learners:
        trial = learner.trial
        groups.setdefault((trial.seed, trial.shape, trial.training.lora), []).append(learner)
    return list(groups.values())
