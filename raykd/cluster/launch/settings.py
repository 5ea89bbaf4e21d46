"""Settings of a launch, for its drivers and workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raykd.planning.estimate.checkpoint_spacing import Spacing
from raykd.runtime.execution_settings import ExecutionSettings
from raykd.search.halving import SuccessiveHalving
from raykd.sweep.resources import Share
from raykd.tracking.pages.inputs import DataUsed
from raykd.training.inputs import TrainingInputs

if TYPE_CHECKING:
    from raykd.config.sweep import SweepConfig
    from raykd.config.trial import TrialSpec
    from raykd.sweep.folders import Places
    from raykd.sweep.state import SweepState
    from raykd.teachers.teacher import Stored

Keep = Literal["all", "none"] | int
"""Which confirmed students are stored: all, none, or those of a seed. This is a rule and not a
list, because explore's best maps are unknown at the start."""


@dataclass(frozen=True)
class LaunchSettings:
    """Plain values, which Ray pickles. Each driver, controller and worker imports this module, so
    what only the launch itself needs is imported in `of`."""

    share: Share
    storage: str
    """Address of the newest checkpoints of the launch's jobs."""
    earlier: tuple[str, ...]
    """Addresses of the checkpoints of ended launches, the newest first."""
    retries: int
    """How often a part of a job is repeated after its workers were lost."""
    rows: int
    """Rows of a batch that a worker has."""
    inputs: TrainingInputs
    execution: ExecutionSettings
    tracking_uri: str
    experiment: str
    launch: str
    """Run id of the launch."""
    spool: Path
    """Folder of the results that wait until the store takes them."""
    stop: Path
    """File that tells the workers to end."""
    checkpoint_seconds: float | None
    """Between checkpoints, at evaluations; None: by `spacing`, at any step."""
    spacing: Spacing
    checkpoint_bytes: int
    """The most bytes of a student in a checkpoint."""
    tags: Mapping[str, str]
    """Tags of every run."""
    data: DataUsed
    keep: Keep
    rungs: SuccessiveHalving | None

    @classmethod
    def of(
        cls, state: SweepState, teacher: Stored, experiment: str, places: Places
    ) -> LaunchSettings:
        from raykd.planning.teacher_source import training_inputs
        from raykd.tracking.launch import versions

        study, config = state.study, state.study.config
        return cls(
            share=state.share,
            storage=places.checkpoints,
            earlier=places.earlier,
            retries=config.cluster.retries,
            rows=ceil(study.batch_rows / state.share.workers),
            inputs=training_inputs(study, teacher.folder, state.plan.choice()),
            execution=config.cluster.execution,
            tracking_uri=state.ledger.uri,
            experiment=experiment,
            launch=places.launch,
            spool=places.spool,
            stop=places.stop,
            checkpoint_seconds=config.cluster.checkpoint_seconds,
            spacing=Spacing.of(config.cluster, config.budget, state.share.gpus),
            checkpoint_bytes=state.plan.checkpoint,
            tags={**versions(), "raykd.sweep": config.name},
            data=DataUsed.of(
                config.task.named, study.data, study.prepared.counts, config.task.revision
            ),
            keep=_students_to_keep(config.tracking.students, state.plan.confirm),
            rungs=_rungs(config),
        )


def _rungs(config: SweepConfig) -> SuccessiveHalving | None:
    prune = config.explore.prune if config.explore else None
    return None if prune is None else SuccessiveHalving(prune.at, prune.drop)


def _students_to_keep(students: str, trials: tuple[TrialSpec, ...]) -> Keep:
    if students == "first_seed" and trials:
        return min(t.seed for t in trials)
    return "all" if students == "all" else "none"
