"""Selects the checkpoint that a job resumes from: of this launch, or of an earlier one of the
sweep.

A checkpoint is half of a trial's state; the other half is its history in the store. A checkpoint
whose history the store lacks (a new store, an older copy, a deleted run) is not used, because the
history would begin in the middle. The training then starts from the beginning and reaches the same
result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pyarrow import fs
from ray.train.v2._internal.constants import CHECKPOINT_MANAGER_SNAPSHOT_FILENAME as NOTE

from raykd.cluster.launch.checkpoints import forget
from raykd.config.trial import Training, TrialSpec

if TYPE_CHECKING:  # raykd.tracking must turn off telemetry before MLflow is imported
    from mlflow import MlflowClient

Newest = Mapping[str, Any]
"""Report of a job's newest checkpoint: `trials`, the ids of its cohort, and `step`."""


def take_over(
    storage: str, earlier: Iterable[str], job: str, fits: Callable[[Newest], bool]
) -> str | None:
    """Move a job's checkpoints to this launch, from the first of the `earlier` places whose
    checkpoint `fits`. Nothing is moved if this launch has some.

    Checkpoints that do not fit are removed, and a line that says so is returned; else None.
    """
    note = None
    if newest(storage, job) is not None:
        return note
    for place in earlier:
        reported = newest(place, job)
        if reported is None:
            continue
        if fits(reported):
            _move(place, storage, job)
            return note
        forget(place, job)
        note = (
            f"job {job} begins anew: its checkpoint at step {reported.get('step')} was removed, "
            "since the store lacks the history before it"
        )
    return note


def newest(storage: str, job: str) -> Newest | None:
    """Return the report of the checkpoint that the job would resume from; None without one.

    Removes a job's folder whose manifest is incomplete or names missing files: Train writes the
    manifest in place, and a kill in that instant leaves a folder that no later attempt could start
    from.
    """
    store, path = fs.FileSystem.from_uri(storage)
    note = f"{path}/{job}/{NOTE}"
    if store.get_file_info(note).type != fs.FileType.File:
        return None
    with store.open_input_stream(note) as stream:
        text = stream.read()
    try:
        content = json.loads(text)
        results = content["checkpoint_results"]
        if not results:
            return None
        names = [f"{path}/{job}/{entry['checkpoint_dir_name']}" for entry in results]
        latest = content.get("latest_checkpoint_result") or results[-1]
        metrics = dict(latest["metrics"])
    except (ValueError, KeyError, TypeError):
        forget(storage, job)
        return None
    if any(entry.type == fs.FileType.NotFound for entry in store.get_file_info(names)):
        forget(storage, job)
        return None
    return metrics


def mark(storage: str, job: str) -> str:
    """Return a text that names the job's newest checkpoint; empty if it has none, or if the storage
    is away."""
    with suppress(OSError):
        if reported := newest(storage, job):
            return f"{reported.get('cohort')} {reported.get('step')}"
    return ""


def _move(place: str, storage: str, job: str) -> None:
    """Move a job's folder. On an object store the manifest is copied last, because without it a
    folder counts as empty."""
    store, before = fs.FileSystem.from_uri(place)
    _, after = fs.FileSystem.from_uri(storage)
    source, target = f"{before}/{job}", f"{after}/{job}"
    forget(storage, job)
    store.create_dir(after)
    if isinstance(store, fs.LocalFileSystem):
        store.move(source, target)
        return
    store.create_dir(target)
    for entry in store.get_file_info(fs.FileSelector(source)):
        if entry.type == fs.FileType.Directory:
            folder = f"{target}/{entry.base_name}"
            fs.copy_files(entry.path, folder, store, store)
    store.copy_file(f"{source}/{NOTE}", f"{target}/{NOTE}")
    with suppress(OSError):
        store.delete_dir(source)


def has_history(
    reported: Newest, trials: Iterable[TrialSpec], client: MlflowClient, experiment: str
) -> bool:
    """Return whether the store has the whole history of a checkpoint's trials up to its step: each
    trial has ended, or has a loss at every logged step, or diverged before."""
    by_id = {t.id: t for t in trials}
    ids, step = reported.get("trials", ()), reported.get("step")
    if step is None or not by_id.keys() >= set(ids):
        return False
    from raykd.tracking import artifacts, ledger  # import MLflow, which few drivers need

    records = {r.trial: r for r in ledger.read_trials(client, experiment, ids)}
    if records.keys() != set(ids):
        return False
    open_ = {r.run_id: by_id[r.trial] for r in records.values() if not r.over}
    curves = artifacts.curves(client, open_, "loss")
    return all(_reaches(dict(curves[run]), trial.training, step) for run, trial in open_.items())


def _reaches(losses: Mapping[int, float], training: Training, step: int) -> bool:
    from raykd.training.distill import TICKS  # imports transformers
    from raykd.training.early_stopping import marks

    if losses and not losses[max(losses)] <= training.diverged:
        step = min(step, max(losses))
    expected = marks(training.steps, TICKS) | marks(training.steps, training.evaluations)
    return {s for s in expected if s <= step} <= losses.keys()
