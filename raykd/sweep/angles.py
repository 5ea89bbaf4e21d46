"""`raykd angles`: what the students of a sweep see of the teacher's blocks, read from the store or
measured now."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raykd.analysis.as_json import plain
from raykd.analysis.scores.from_runs import shape, weight
from raykd.analysis.scores.loss_weights import several_weights
from raykd.analysis.stats.sequential import levels
from raykd.analysis.summary.acute_angles import of as overall
from raykd.analysis.verdict.angles import Angles, StudentAngles
from raykd.errors import UserError
from raykd.planning import schedules
from raykd.sweep.interim import task_name
from raykd.sweep.state import SweepState
from raykd.tracking import ledger
from raykd.tracking.artifacts import log_metrics, read_angles, steps, store_angles
from raykd.tracking.ledger import Record
from raykd.tracking.store import patiently

if TYPE_CHECKING:
    from raykd.config.trial import TrialSpec
    from raykd.training.angle_probe import Probe
    from raykd.training.trainer import CohortTrainer

READ_THREADS = 8  # concurrent requests to the store
STUDENTS_PER_BATCH = 4  # they share the teacher's forward passes
SIGN = "angle_share_acute_"  # prefix of a metric that every measured trial has


@dataclass(frozen=True)
class Taken:
    """Counts of one run of `raykd angles`: students measured now, students measured earlier,
    students without stored weights, and students whose hidden states can no longer be mapped to the
    teacher's width."""

    measured: int
    known: int
    unstored: int
    unseen: int


@dataclass(frozen=True)
class Found:
    """The angles of a sweep's students, the share of acute angles in each cell, a row for each
    block, and the result of the question whether angles predict scores."""

    seen: tuple[StudentAngles, ...]
    angles: Angles

    @classmethod
    def of(cls, state: SweepState) -> Found:
        students = of_sweep(state)
        return cls(students, overall(students, _alpha(state)))

    def to_json(self, taken: Taken) -> dict[str, Any]:
        """Return every student with all its pairs, and the counts, as plain values."""
        return {**plain(self), "taken": plain(taken)}


def confirmed(state: SweepState) -> list[Record]:
    """Return the finished confirm trials that the sweep file asks for now."""
    return [r for r in state.current if r.phase == "confirm" and r.status == "finished"]


def is_measured(record: Record) -> bool:
    return any(name.startswith(SIGN) for name in record.metrics)


def _alpha(state: SweepState) -> float:
    """Return the file's alpha, or the share of it that an interim analysis spends."""
    config = state.study.config
    if config.confirm is None or config.confirm.looks is None:
        return config.alpha
    return state.look.alpha if state.look else levels(config.confirm.looks, config.alpha)[0]


def of_sweep(state: SweepState) -> tuple[StudentAngles, ...]:
    """Return the last measurement of every confirmed student that has one, once for each schedule
    in whose cells it counts.

    With `confirm.looks`, only seeds up to the last completed interim analysis count.
    """
    config, client = state.study.config, state.ledger.client
    task, metric = task_name(config.task.named), f"test_{config.task.metric}"

    names = schedules.names(state.study)

    def read(record: Record) -> StudentAngles | None:
        measured_steps = steps(client, record.run_id)
        if not measured_steps:
            return None
        return StudentAngles(
            task, record.init, shape(record), record.strategy, record.seed, record.map,
            record.metrics[metric], read_angles(client, record.run_id, measured_steps[-1]),
            control=record.control, weight=weight(record),
        )  # fmt: skip

    look, measured = state.look, [r for r in confirmed(state) if is_measured(r)]
    if look is not None and config.confirm is not None:
        measured = [r for r in measured if r.seed in config.confirm.seed_list[: look.seeds]]
    with ThreadPoolExecutor(READ_THREADS) as pool:
        results = list(pool.map(read, measured))
    students = [
        replace(student, schedule=schedule)
        for record, student in zip(measured, results, strict=True) if student is not None
        for schedule in names.of_record(record)
    ]  # fmt: skip
    several = several_weights((s.schedule, s.weight) for s in students)
    return tuple(s if s.schedule in several else replace(s, weight="") for s in students)


def measure(state: SweepState, trials: int | None, progress: Callable[[int, int], None]) -> Taken:
    """Measure stored students that have no angles yet, at most `trials` of them.

    The first seed of every strategy and init comes first, then the next seed. `progress` is called
    with the number of students done and their total, first with 0.

    Raises UserError where no student is measured and none can be.
    """
    if state.study.base.depths.decoder is not None:
        raise UserError(
            f"{state.study.file}: teacher.model: angles are measured in models of one stack, and "
            f"{state.study.config.teacher.model} is an encoder-decoder; run `raykd verdict`"
        )
    records = confirmed(state)
    if not records:
        raise UserError(f"{state.study.file}: no confirmed trial is finished; run `raykd sweep`")
    measured = [r for r in records if is_measured(r)]
    stored = [r for r in records if not is_measured(r) and _has_student(state, r)]
    chosen = sorted(stored, key=lambda r: (r.seed, r.init, r.strategy))[:trials]
    if not measured and not chosen:
        raise UserError(
            f"{state.study.file}: no finished student kept its weights; write `tracking: "
            "{students: all}` or `angles: true` into the file, for trials to come"
        )
    unseen = _measure(state, chosen, progress) if chosen else 0
    unstored = len(records) - len(measured) - len(stored)
    return Taken(len(chosen) - unseen, len(measured), unstored, unseen)


def _has_student(state: SweepState, record: Record) -> bool:
    listed = patiently(lambda: state.ledger.client.list_artifacts(record.run_id))
    return any(a.path == "student" for a in listed)


def _measure(
    state: SweepState, chosen: Sequence[Record], progress: Callable[[int, int], None]
) -> int:
    """Measure the chosen students in batches. Returns how many could not be measured."""
    import torch

    from raykd.planning.teacher_source import training_inputs
    from raykd.runtime.execution import Execution
    from raykd.runtime.precision import tf32
    from raykd.teachers import teacher as teachers
    from raykd.training.angle_probe import ROWS, Probe
    from raykd.training.trainer import CohortTrainer

    progress(0, len(chosen))
    study = state.study
    teacher = teachers.stored(study.home, study.teacher)
    if teacher is None:
        raise UserError(f"{study.file}: its teacher is not here; run `raykd teacher {study.file}`")
    where = Execution(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    trainer = CohortTrainer.load(training_inputs(study, teacher.folder), where)
    rows = study.config.angle_rows or ROWS
    probe = Probe(trainer.teacher, trainer.data, rows, where, trainer.build)
    specs = {t.id: t for t in state.plan.confirm}
    unseen = 0
    for start in range(0, len(chosen), STUDENTS_PER_BATCH):
        batch = chosen[start : start + STUDENTS_PER_BATCH]
        with tf32():  # as in training
            unseen += _measure_batch(state, batch, [specs[r.trial] for r in batch], trainer, probe)
        progress(start + len(batch), len(chosen))
    return unseen


def _measure_batch(
    state: SweepState,
    records: Sequence[Record],
    specs: Iterable[TrialSpec],
    trainer: CohortTrainer,
    probe: Probe,
) -> int:
    """Measure a few students together and store the results with their runs. Returns how many could
    not be measured."""
    from torch import nn

    from raykd.training.angle_probe import Stored

    students = []
    with tempfile.TemporaryDirectory(prefix="raykd-angles-") as folder:
        for record, spec in zip(records, specs, strict=True):
            download_folder = Path(folder) / record.run_id
            student = ledger.download(
                state.ledger.client, record.run_id, "student", download_folder
            )
            assert student is not None
            data = trainer.data
            model = data.family.load_model(student, data.labels, trained=True)
            students.append(Stored(spec, model.to(trainer.where.device), nn.ModuleDict()))
        steps_ = [int(r.metrics["best_step"]) for r in records]
        measurements = probe.measure(students, steps_, "stored")
    for record, measured in zip(records, measurements, strict=True):
        if measured is not None:
            store_angles(state.ledger.client, record.run_id, measured)
            log_metrics(state.ledger.client, record.run_id, measured)
    return measurements.count(None)
