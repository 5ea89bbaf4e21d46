"""How a command of raykd behaves when a person is mistaken or stops it, and what it silences."""

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

from raykd.errors import UserError, first_line

FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "disk is full")
"""What errors of a full disk say; the last is SQLite's."""


def report_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """A person's mistake, a full disk, a store that went away end in their lines on stderr and exit
    code 2, never in a traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        quiet()
        # What a command imports and reads stays: to look through it for garbage every 700 objects,
        # as Python does, takes a sixth of the time of `raykd plan`.
        gc.set_threshold(100_000, 50, 50)
        try:
            return command(*args, **kwargs)
        except UserError as error:
            for line in error.lines:
                typer.echo(f"raykd: {line}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("raykd: stopped", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            advice = _to_mend(error)
            if advice is None:
                raise
            typer.echo(f"raykd: {advice}; what is finished is kept: run this again then", err=True)
            raise typer.Exit(2) from None

    return run


def _to_mend(error: Exception) -> str | None:
    """What to do about an error that is of the surroundings; None where it is raykd's own."""
    causes = [error, *_causes(error)]
    if any(words in str(each) for each in causes for words in FULL):
        return (
            f"a disk is full ({first_line(error)}); free some, or set RAYKD_HOME or "
            "cluster.storage to a larger one"
        )
    if "mlflow" in sys.modules:  # it takes a second to import
        from raykd.tracking.store import unreachable

        if any(map(unreachable, causes)):
            return "the MLflow server does not answer any more; see that it is back"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What an error was raised from or after, as a traceback would show it."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield before
        yield from _causes(before)


def refuse_taken(port: int) -> None:
    """Raises UserError where something listens on this port of localhost already."""
    with socket.socket() as there:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            there.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"--port: {port} cannot be listened on ({error.strerror}); write another"
            ) from None


def quiet() -> None:
    """No usage pings, no telemetry, no progress bars of others; before anything is imported."""
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
