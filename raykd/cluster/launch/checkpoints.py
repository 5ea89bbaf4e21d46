"""Storage of the newest states of jobs: a folder that all nodes see, or an address of an object
store. Each job has its own folder there, with Ray Train's manifest of its checkpoints. `resume`
selects the checkpoint that a job starts from.

Ray Train writes with pyarrow, so pyarrow's addresses work: s3://, gs://, hdfs://, abfs://. Keys
come from the machine or the environment, as for the store's command line tools.

The store may be away or full for a while. A running training continues without it and tries again
at the next evaluation; a starting one waits for it, as for MLflow.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pyarrow import fs
from ray import train

from raykd.sweep.folders import Places, under

STORAGE_NOTE = "told"
"""Key of a report with a line for observers: checkpoints cannot be stored, or were removed."""


def forget(storage: str, job: str) -> None:
    """Remove a job's checkpoints, which are no longer needed. A failure is ignored: leftovers do no
    harm."""
    store, path = fs.FileSystem.from_uri(storage)
    with suppress(OSError):
        store.delete_dir(f"{path}/{job}")


def clear(places: Places, done: bool) -> None:
    """Remove the folders of this launch and of ended ones: all if the sweep is `done`, else the
    empty ones. Folders of other launches stay, because a copy of the store may need them."""
    store, path = fs.FileSystem.from_uri(under(places.root, places.sweep))
    with suppress(OSError):  # leftovers do no harm
        for launch in {places.launch, *places.ended} & set(_names(store, path)):
            if done or not _names(store, f"{path}/{launch}"):
                store.delete_dir(f"{path}/{launch}")
        if not _names(store, path):
            store.delete_dir(path)


def _names(store: fs.FileSystem, path: str) -> list[str]:
    entries = store.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return [entry.base_name for entry in entries]


def put(folder: Path) -> train.Checkpoint:
    """In a worker: copy a folder to the place of Train's next checkpoint, and return it for a
    report without upload.

    The checkpoint counts once Train has recorded it. Raises OSError, and leaves nothing behind,
    where the store does not accept it; an upload by `train.report` would end the worker, and the
    job with it.
    """
    storage = train.get_context().get_storage()
    name = storage.make_default_checkpoint_dir_name()
    target, store = storage.build_checkpoint_path_from_name(name), storage.storage_filesystem
    copy(folder, store, target)
    return train.Checkpoint(target, store)


def copy(folder: Path, store: fs.FileSystem, target: str) -> None:
    """Copy all of a folder's files, or none. Raises OSError."""
    try:
        store.create_dir(target)  # copy_files creates no folder on a disk
        fs.copy_files(str(folder), target, fs.LocalFileSystem(), store)
    except OSError:
        with suppress(OSError):
            store.delete_dir(target)
        raise
