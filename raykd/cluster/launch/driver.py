"""A job's driver: the Tune trial that starts and watches the Ray Train workers."""

from __future__ import annotations

import errno
import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray
from ray import tune
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.backend import BackendConfig
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.exceptions import RayTrainError
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.train.v2.api.exceptions import PreemptionError, TrainingFailedError, WorkerGroupError
from ray.tune.integration.ray_train import TuneReportCallback

from raykd.cluster import checkpoint_store
from raykd.cluster.launch import checkpoints, placement_groups, resume
from raykd.cluster.launch.retry import STAYS_OPEN, Failure, Part, after, counted, without
from raykd.cluster.launch.settings import LaunchSettings
from raykd.config.cohort import packed, unpacked
from raykd.errors import first_line
from raykd.runtime import memory
from raykd.runtime.plugins import install_plugins
from raykd.runtime.scratch import temporary_files
from raykd.sweep.resources import Share

UNUSED = (DatasetsCallback, PlacementGroupCleanerCallback)
"""Rows do not come from Ray Data, and `placement_groups` removes dead placement groups."""

GIVEN_UP = "given_up"
"""Key of a job's report that some of its trials were given up, and why."""
PEER_IS_GONE = r"gloo|nccl|connection (closed|reset)|broken pipe"
"""Errors that a worker raises because another worker was lost."""
MISUSE = r"duplicate gpu|ncclInvalid|nccl.*invalid (usage|argument)"
"""Errors of NCCL that another attempt raises again."""
NO_MEMORY = (
    r"out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|OutOfMemory"
    r"|MemoryAllocation|can't allocate memory|cannot allocate memory|not enough memory"
)
MACHINE = {
    getattr(errno, name)
    for name in (
        "EIO", "ENOSPC", "EDQUOT", "EROFS", "ESTALE", "ENXIO", "ENODEV", "EREMOTEIO", "EPIPE",
        "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENETRESET", "ENOTCONN",
        "EMFILE", "ENFILE", "EAGAIN", "ETIMEDOUT",
    )
    if hasattr(errno, name)
}  # fmt: skip
"""Errors of the system that another machine, or a later attempt, may not have."""
NETWORK = ("requests", "urllib", "urllib3", "http", "aiohttp", "huggingface_hub")
"""Packages whose OSErrors are about the network."""
OBJECT_STORE = r"AWS Error|curlCode|google::cloud|Azure|hdfs"
"""What pyarrow's OSErrors say of an object store that is away; they have no number."""


def drive(config: dict[str, Any], *, settings: LaunchSettings) -> None:
    """Tune's trainable. It needs a `trial_slot` and nothing else; the workers take the machines.

    `config` holds the job, `packed`, and its id.
    """
    with temporary_files():
        _drive(config, settings)


def _drive(config: dict[str, Any], settings: LaunchSettings) -> None:
    install_plugins(settings.inputs.plugins)
    placement_groups.free_dead_attempts(config["id"])
    whole = Part(unpacked(config["job"]), settings.execution.micro_batch)
    parts = deque([whole])
    while parts:
        part = parts.popleft()
        failure = _fit(part, config["id"], settings)
        if settings.stop.exists():
            # Another launch resumes unfinished trials from their checkpoint.
            if not without(part, _over(part, settings)).job:
                _forget(part, settings)
            break
        if failure is None:
            _forget(part, settings)
            continue
        over = _over(part, settings)
        part = counted(part, over)
        again = [part]
        if without(part, over).job:
            mark = resume.mark(settings.storage, part.id)
            again = after(part, failure, settings.retries, settings.rows, mark)
            if not again:
                _give_up(without(part, over), failure, settings)
                tune.report({GIVEN_UP: failure.reason})
        if failure.kind not in STAYS_OPEN and part.id not in {p.id for p in again}:
            _forget(part, settings)  # split, or given up
        # A part that is repeated keeps its id, and with it its checkpoints.
        left = (p if p.id == part.id else without(p, over) for p in again)
        parts.extendleft(reversed([p for p in left if without(p, over).job]))
    placement_groups.forget(config["id"])


def _fit(part: Part, job: str, settings: LaunchSettings) -> Failure | None:
    """Train a part, from its newest checkpoint if the store has the history of one. Returns the
    failure, if any. Raises OSError where checkpoints cannot be stored for ten minutes."""
    killed, storage = memory.kills(), settings.storage
    checkpoint_store.wait_for(storage, _report_line)
    if line := resume.take_over(storage, settings.earlier, part.id, _has_history(part, settings)):
        _report_line(line)
    try:
        _trainer(part, job, settings).fit()
    except TrainingFailedError as error:
        return explain(error, by_kernel=memory.kills() > killed)
    return None


def _report_line(line: str) -> None:
    tune.report({checkpoints.STORAGE_NOTE: line})


def _has_history(part: Part, settings: LaunchSettings) -> Callable[[resume.Newest], bool]:
    """Return a function that tells whether the store has the history of a checkpoint. It sends the
    results of dead workers first."""

    def fits(reported: resume.Newest) -> bool:
        from mlflow import MlflowClient

        from raykd.tracking.outbox import deliver_sweep

        client = MlflowClient(tracking_uri=settings.tracking_uri)
        for _ in range(2):  # a store that was away may answer the second time
            deliver_sweep(settings.tracking_uri, settings.spool.parent)
            if resume.has_history(reported, part.trials, client, settings.experiment):
                return True
        return False

    return fits


def explain(error: TrainingFailedError, by_kernel: bool = False) -> Failure:
    """Return the failure that caused the others. If one worker fails, others may fail as a
    consequence: memory takes precedence over a loss, and a loss over a worker's own error.

    `by_kernel`: the kernel killed a process on this machine for memory in the meantime. This is
    known only if workers run on the driver's machine; elsewhere Ray's monitor kills first and
    reports it.
    """
    if isinstance(error, PreemptionError):
        return Failure("preempted", first_line(error))
    failures = list(error.worker_failures.values()) if isinstance(error, WorkerGroupError) else []
    cause = getattr(error, "controller_failure", error)  # the outer error's first line is generic
    reason = f"{type(cause).__name__}: {first_line(cause)}"
    causes = [_one(failure) for failure in failures] or [Failure("lost", reason)]
    order = {"memory": 0, "preempted": 1, "lost": 2, "own": 3}
    worst = min(causes, key=lambda failure: order[failure.kind])
    if by_kernel and worst.kind == "lost":
        return Failure("memory", f"out of memory: the kernel ended a worker ({worst.reason})")
    return worst


def _one(error: BaseException) -> Failure:
    import torch

    if isinstance(error, RayTrainError | ray.exceptions.RayError):  # not from the training itself
        cause = getattr(error, "health_check_failure", error)
        if isinstance(cause, ray.exceptions.OutOfMemoryError):
            return Failure("memory", first_line(cause))
        preempted = getattr(cause, "preempted", False)  # of an actor that died with its node
        return Failure("preempted" if preempted else "lost", first_line(cause))
    reason, where = (
        f"{type(error).__name__}: {first_line(error)}",
        "\n".join(getattr(error, "__notes__", [])),
    )
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or _is_short_of_memory(error):
        return Failure("memory", f"out of memory: {first_line(error)}", where)
    return Failure("lost" if _is_loss(error) else "own", reason, where)


def _is_short_of_memory(error: BaseException) -> bool:
    """Return whether a library of the GPU, or the system, could not allocate memory. NCCL and
    cuBLAS raise plain RuntimeErrors, and NCCL says so in a later line."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(re.search(NO_MEMORY, str(error), re.IGNORECASE))


def _is_loss(error: BaseException) -> bool:
    """Return whether a worker failed because of its machine, the network, another worker or the
    store. A file that is missing or must not be read is an error of the training itself."""
    from raykd.tracking.store import passing

    if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
        library = type(error).__module__.split(".")[0]
        away = re.search(OBJECT_STORE, str(error)) is not None
        return library in NETWORK or error.errno in MACHINE or away
    if re.search(MISUSE, str(error), re.IGNORECASE):
        return False
    return passing(error) or bool(re.search(PEER_IS_GONE, str(error), re.IGNORECASE))


def _over(part: Part, settings: LaunchSettings) -> set[str]:
    """Return the ids of a part's trials that have ended, in whatever way."""
    from mlflow import MlflowClient

    from raykd.tracking import ledger

    client = MlflowClient(tracking_uri=settings.tracking_uri)
    records = ledger.read_trials(client, settings.experiment, (t.id for t in part.trials))
    return {r.trial for r in records if r.over}


def _give_up(part: Part, failure: Failure, settings: LaunchSettings) -> None:
    """Mark the trials that cannot be trained as FAILED, with the reason. Trials that lost their
    machines stay open, and the next launch resumes them from their checkpoints."""
    if failure.kind in STAYS_OPEN:
        return
    from raykd.tracking.writer import Writer

    for cohort in part.job:
        writer = Writer(
            settings.tracking_uri, settings.experiment, settings.launch, cohort.id,
            tags(settings, part), settings.spool,
        )  # fmt: skip
        for trial in cohort.trials:
            if writer.open(trial, {}):
                writer.fail(trial, failure.reason, failure.traceback)


def _forget(part: Part, settings: LaunchSettings) -> None:
    """Remove a part's checkpoints, which are no longer needed."""
    checkpoints.forget(settings.storage, part.id)


def tags(settings: LaunchSettings, part: Part) -> dict[str, str]:
    """Return the tags of a part's runs, with the micro-batch if memory was short."""
    rows = {"raykd.micro_batch": str(part.micro_batch)} if part.micro_batch else {}
    return {**settings.tags, **rows}


def _trainer(part: Part, job: str, settings: LaunchSettings) -> Trainer:
    share = settings.share
    worker_settings = replace(
        settings,
        execution=replace(settings.execution, micro_batch=part.micro_batch),
        tags=tags(settings, part),
    )
    return Trainer(
        train_job,
        train_loop_config={"job": packed(part.job), "settings": worker_settings},
        backend_config=backend(share),
        scaling_config=ScalingConfig(
            num_workers=share.workers,
            use_gpu=bool(share.gpus),
            resources_per_worker={
                "CPU": share.cpus,
                **({"GPU": share.gpus} if share.gpus else {}),
            },
        ),
        run_config=RunConfig(
            # Train resumes from the newest checkpoint of a run with this name, of any process.
            # It retries nothing by itself: `retry` decides what is repeated, and how often.
            name=part.id,
            storage_path=settings.storage,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0),
            callbacks=[TuneReportCallback(), placement_groups.NoteController(job)],
        ),
    )


class Trainer(DataParallelTrainer):  # type: ignore[misc]
    """Train's trainer without unused callbacks. Like `placement_groups` it uses private interfaces
    of Ray: the pin in pyproject.toml and the tests of whole sweeps guard against changes."""

    def _create_default_callbacks(self) -> list[Any]:
        return [c for c in super()._create_default_callbacks() if not isinstance(c, UNUSED)]


def backend(share: Share) -> BackendConfig:
    """Return the backend that connects a job's workers. A single worker needs none, so that torch
    is imported in the worker only."""
    if share.workers == 1:
        return BackendConfig()
    from ray.train.torch import TorchConfig

    return TorchConfig(backend="nccl" if share.gpus else "gloo")


def train_job(config: dict[str, Any]) -> None:
    """Entry of the workers. Its module does not import torch, which the driver does not need."""
    from raykd.cluster.launch import worker

    worker.train_job(config)
