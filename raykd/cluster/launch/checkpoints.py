"""Where jobs keep their newest state: a folder that all nodes see, or an address of an object
store. A job has a folder of its own there, and in it Ray Train's note of what is where. Which of
them a job begins with: see `resume`.

Ray Train writes by pyarrow, so what pyarrow knows works: s3://, gs://, hdfs://, abfs://. Keys are
the machine's own or in the environment, as those of the store's command line tools.

The store may be away or full for a while. Who trains goes on without it and tries again at the
next evaluation; who begins waits for it, as for MLflow.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pyarrow import fs
from ray import train

from raykd.sweep.folders import Places, under

TOLD = "told"
"""The key of a report that checkpoints cannot be stored, in a line for whoever watches."""


def forget(storage: str, job: str) -> None:
    """Remove what a job stored: it is of no more use, and does no harm where it stays."""
    store, path = fs.FileSystem.from_uri(storage)
    with suppress(OSError):
        store.delete_dir(f"{path}/{job}")


def clear(places: Places, done: bool) -> None:
    """Remove the folders of this launch and of earlier ones: all where the sweep is `done`, else
    those that hold nothing. Other launches' stay: a copy of the store may have some."""
    store, path = fs.FileSystem.from_uri(under(places.root, places.sweep))
    with suppress(OSError):  # no harm where they stay
        for launch in {places.launch, *places.ended} & set(_names(store, path)):
            if done or not _names(store, f"{path}/{launch}"):
                store.delete_dir(f"{path}/{launch}")
        if not _names(store, path):
            store.delete_dir(path)


def _names(store: fs.FileSystem, path: str) -> list[str]:
    entries = store.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return [entry.base_name for entry in entries]


def put(folder: Path) -> train.Checkpoint:
    """In a worker: copy a folder to where Train's next checkpoint belongs, to be reported as it is.
    It counts from when Train has noted it. Raises OSError, and leaves nothing behind, where the
    store does not take it; `train.report` by itself would end the worker, and the job with it."""
    storage = train.get_context().get_storage()
    name = storage.make_default_checkpoint_dir_name()
    target, store = storage.build_checkpoint_path_from_name(name), storage.storage_filesystem
    copy(folder, store, target)
    return train.Checkpoint(target, store)


def copy(folder: Path, store: fs.FileSystem, target: str) -> None:
    """All of a folder's files, or none. Raises OSError."""
    try:
        store.create_dir(target)  # on a disk, copy_files makes none
        fs.copy_files(str(folder), target, fs.LocalFileSystem(), store)
    except OSError:
        with suppress(OSError):
            store.delete_dir(target)
        raise
