"""Where jobs keep their newest state: a folder that all nodes see, or an address of an object
store. A job has a folder of its own there, and in it Ray Train's note of what is where. Which of
them a job begins with: see `resume`.

Ray Train writes by pyarrow, so what pyarrow knows works: s3://, gs://, hdfs://, abfs://. Keys are
the machine's own or in the environment, as those of the store's command line tools.

The store may be away or full for a while. Who trains goes on without it and tries again at the
next evaluation; who begins waits for it, as for MLflow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from pyarrow import ArrowException, fs
from ray import train

from raykd.errors import UserError
from raykd.planning.study import Study
from raykd.sweep.folders import Places, under

TOLD = "told"
"""The key of a report that checkpoints cannot be stored, in a line for whoever watches."""
AWAY_SECONDS = 600.0
AGAIN_SECONDS = 1.0


def check(study: Study) -> None:
    """Raises UserError where a stated address cannot be written to and removed from here."""
    address = study.config.cluster.checkpoints
    if address is None:
        return
    where = f"{study.file}: cluster.checkpoints:"
    if "@" in address:
        raise UserError(
            f"{where} keys stand in the address; leave them out, and set them in the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    try:
        _probe(address)
    except (OSError, ArrowException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"{where} {address} cannot be written ({reason}); write a folder that all nodes see, "
            "or an address such as s3://bucket/folder, with its keys in the environment"
        ) from error


def wait_for(storage: str, tell: Callable[[str], None], seconds: float = AWAY_SECONDS) -> None:
    """Return when a file can be written there; `tell` is told once why it cannot. Raises OSError
    where it cannot for so long."""
    began, told = time.monotonic(), False
    while True:
        try:
            return _probe(storage)
        except OSError as error:
            if time.monotonic() - began > seconds:
                raise
            if not told:
                tell(f"a job waits until checkpoints can be written: {reason(error)}")
                told = True
        time.sleep(AGAIN_SECONDS)


def reason(error: OSError) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _probe(storage: str) -> None:
    store, path = fs.FileSystem.from_uri(storage)
    probe = f"{path}/raykd-{uuid4().hex}"
    store.create_dir(path)
    with store.open_output_stream(probe) as stream:
        stream.write(b"raykd")
    store.delete_file(probe)


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
    found = store.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return [each.base_name for each in found]


def put(made: Path) -> train.Checkpoint:
    """In a worker: copy a folder to where Train's next checkpoint belongs, to be reported as it is.
    It counts from when Train has noted it. Raises OSError, and leaves nothing behind, where the
    store does not take it; `train.report` by itself would end the worker, and the job with it."""
    storage = train.get_context().get_storage()
    name = storage.make_default_checkpoint_dir_name()
    there, store = storage.build_checkpoint_path_from_name(name), storage.storage_filesystem
    copy(made, store, there)
    return train.Checkpoint(there, store)


def copy(made: Path, store: fs.FileSystem, there: str) -> None:
    """All of a folder's files, or none. Raises OSError."""
    try:
        store.create_dir(there)  # on a disk, copy_files makes none
        fs.copy_files(str(made), there, fs.LocalFileSystem(), store)
    except OSError:
        with suppress(OSError):
            store.delete_dir(there)
        raise
