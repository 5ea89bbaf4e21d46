"""Where jobs keep their checkpoints: a folder that all nodes see, or an address of an object store.

Ray Train writes them by pyarrow, so what pyarrow knows works: s3://, gs://, hdfs://, abfs://. Keys
are the machine's own or in the environment, as those of the store's command line tools.
"""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

from pyarrow import ArrowException, fs

from raykd.errors import UserError
from raykd.study import Study


def place(study: Study) -> str:
    return study.config.cluster.checkpoints or str(study.home / "checkpoints")


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
        store, path = fs.FileSystem.from_uri(address)
        probe = f"{path}/raykd-{uuid4().hex}"
        store.create_dir(path)
        with store.open_output_stream(probe) as stream:
            stream.write(b"raykd")
        store.delete_file(probe)
    except (OSError, ArrowException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"{where} {address} cannot be written ({reason}); write a folder that all nodes see, "
            "or an address such as s3://bucket/folder, with its keys in the environment"
        ) from error


def forget(storage: str, name: str) -> None:
    """Remove what a job stored: it is of no more use, and does no harm where it stays."""
    store, path = fs.FileSystem.from_uri(storage)
    with suppress(OSError):
        store.delete_dir(f"{path}/{name}")
