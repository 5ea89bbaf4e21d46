"""Checks that checkpoints can be written to a folder that all nodes see, or to an object store."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

from pyarrow import ArrowException, fs

from raykd.errors import UserError, first_line
from raykd.planning.study import Study

AWAY_SECONDS = 600.0
AGAIN_SECONDS = 1.0


def check(study: Study) -> None:
    """Raise UserError where a file cannot be written to, and removed from, the configured
    address."""
    address = study.config.cluster.checkpoints
    if address is None:
        return
    prefix = f"{study.file}: cluster.checkpoints:"
    if "@" in address:
        raise UserError(
            f"{prefix} keys stand in the address; leave them out, and set them in the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    try:
        try_to_write(address)
    except (OSError, ArrowException) as error:
        raise UserError(
            f"{prefix} {address} cannot be written ({first_line(error)}); write a folder that all "
            "nodes see, or an address such as s3://bucket/folder, with its keys in the environment"
        ) from error


def wait_for(storage: str, tell: Callable[[str], None], seconds: float = AWAY_SECONDS) -> None:
    """Return when a file can be written to `storage`. `tell` is called once with the reason for
    waiting. Raises OSError after `seconds`."""
    began, reported = time.monotonic(), False
    while True:
        try:
            return try_to_write(storage)
        except OSError as error:
            if time.monotonic() - began > seconds:
                raise
            if not reported:
                tell(f"a job waits until checkpoints can be written: {reason(error)}")
                reported = True
        time.sleep(AGAIN_SECONDS)


def reason(error: OSError) -> str:
    """Return the error's type and message, cut to 300 characters."""
    return f"{type(error).__name__}: {error}"[:300]


def try_to_write(storage: str) -> None:
    """Write a small file and delete it. Raises OSError or ArrowException."""
    store, path = fs.FileSystem.from_uri(storage)
    probe = f"{path}/raykd-{uuid4().hex}"
    store.create_dir(path)
    with store.open_output_stream(probe) as stream:
        stream.write(b"raykd")
    store.delete_file(probe)
