"""A job's newest state on disk: a folder of its own, and in it Ray Train's note of what is where.

The store may be away or full for a while. Who trains goes on without it and tries again at the
next evaluation; who begins waits for it, as for MLflow.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

from ray import train
from ray.train.v2._internal.constants import CHECKPOINT_MANAGER_SNAPSHOT_FILENAME as NOTE

UNSAVED = "unsaved"
"""The key of a worker's report that a checkpoint could not be stored, and why."""
AWAY_SECONDS = 600.0
AGAIN_SECONDS = 1.0


def wait_for(store: Path, seconds: float = AWAY_SECONDS) -> None:
    """Return when a file can be written there. Raises OSError where it cannot for so long."""
    began = time.monotonic()
    while True:
        try:
            store.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=store):
                return
        except OSError:
            if time.monotonic() - began > seconds:
                raise
        time.sleep(AGAIN_SECONDS)


def mend(folder: Path) -> None:
    """Remove a job's checkpoints whose note is in halves: Train writes it in place, and a kill in
    that instant leaves what no later attempt could begin with. The job begins anew."""
    note = folder / NOTE
    try:
        if note.exists():
            json.loads(note.read_bytes())
    except ValueError:
        forget(folder)


def forget(folder: Path) -> None:
    """A job's checkpoints are of no more use."""
    shutil.rmtree(folder, ignore_errors=True)


def put(made: Path) -> train.Checkpoint:
    """In a worker: copy a folder to where Train's next checkpoint belongs, to be reported as it is.
    It counts from when Train has noted it. Raises OSError, and leaves nothing behind, where the
    store does not take it; `train.report` by itself would end the worker, and the job with it."""
    storage = train.get_context().get_storage()
    name = storage.make_default_checkpoint_dir_name()
    place = Path(storage.build_checkpoint_path_from_name(name))
    try:
        shutil.copytree(made, place)
    except OSError:
        forget(place)
        raise
    return train.Checkpoint(str(place), storage.storage_filesystem)
