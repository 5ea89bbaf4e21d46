"""Error handling of commands, and the settings that silence other libraries."""

from __future__ import annotations

import errno
import gc
import os
import socket
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import typer

from raykd.cli.terminal.console import complain
from raykd.errors import UserError, first_line

DISK_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "disk is full")
"""Messages of errors that a full disk causes; the last is SQLite's."""


def report_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command so that a UserError, a full disk or an unreachable store prints its lines on
    stderr and exits with code 2, without a traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        quiet()
        # Most objects that a command makes live until it ends. Python's default, a collection
        # every 700 objects, takes a sixth of the time of `raykd plan`.
        gc.set_threshold(100_000, 50, 50)
        try:
            return command(*args, **kwargs)
        except UserError as error:
            for line in error.lines:
                complain(line)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            complain("stopped")
            raise typer.Exit(130) from None
        except Exception as error:
            advice = _advice(error)
            if advice is None:
                raise
            complain(f"{advice}; what is finished is kept: run this again then")
            raise typer.Exit(2) from None

    return run


def _advice(error: Exception) -> str | None:
    """Advice on an error that the environment causes (disk, server); None for any other error."""
    causes = [error, *_causes(error)]
    if any(phrase in str(cause) for cause in causes for phrase in DISK_FULL):
        return (
            f"a disk is full ({first_line(error)}); free some, or set RAYKD_HOME or "
            "cluster.storage to a larger one"
        )
    if "mlflow" in sys.modules:  # the import takes a second
        from raykd.tracking.database.schema import is_damaged
        from raykd.tracking.store import unreachable

        if any(map(is_damaged, causes)):
            return (
                f"the SQLite file of the store is damaged ({first_line(error)}); put a copy of it "
                "in its place, or what `sqlite3 mlflow.db .recover` still reads"
            )
        if any(map(unreachable, causes)):
            return "the MLflow server does not answer any more; see that it is back"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The chain of errors that this one was raised from or after, as a traceback shows it."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield cause
        yield from _causes(cause)


def refuse_taken(port: int) -> None:
    """Raises UserError if the port of localhost is already in use."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"--port: {port} cannot be listened on ({error.strerror}); write another"
            ) from None


def quiet() -> None:
    """Turn off telemetry and progress bars of other libraries. Call before they are imported."""
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "DATASETS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "OPTUNA_DISABLE_TELEMETRY": "true",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
