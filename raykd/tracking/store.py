"""The store of a sweep's results, and the sweep's experiment in it."""

from __future__ import annotations

import http.client
import os
import re
import socket
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import tenacity
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException, RestException

from raykd.config.versions import check_store
from raykd.errors import UserError, first_line
from raykd.runtime import scratch
from raykd.tracking import locks, sweep_id
from raykd.tracking.database import schema

PROBE_SECONDS = 5.0
DRAFT = ".mlflow-"  # prefix of the folder of a new SQLite file
ATTEMPTS = 5
AWAY_SECONDS = 600.0
# BAD_REQUEST is MLflow's answer if another process inserted the same row in the same instant.
PASSING = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "BAD_REQUEST")
DATABASES = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}  # scheme: default port

T = TypeVar("T")


def patiently(call: Callable[[], T]) -> T:
    """Call again after a passing fault of the store: up to five times, 1, 2, 4 and 8 seconds apart,
    if it answers with an error; for ten minutes if it does not answer."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_busy),
        wait=tenacity.wait_exponential(max=8.0),
        stop=_gives_up,
        reraise=True,
    )(call)


def _is_busy(error: BaseException) -> bool:
    busy = isinstance(error, MlflowException) and error.error_code in PASSING
    return busy and not schema.is_damaged(error)


def _gives_up(state: tenacity.RetryCallState) -> bool:
    away = state.outcome is not None and unreachable(state.outcome.exception())
    waited = not away or tenacity.stop_after_delay(AWAY_SECONDS)(state)
    return state.attempt_number >= ATTEMPTS and waited


def restoring(client: MlflowClient, run_id: str, call: Callable[[], T]) -> T:
    """Call `patiently`, and again after the run was restored if a person has deleted it."""
    try:
        return patiently(call)
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        if patiently(lambda: client.get_run(run_id)).info.lifecycle_stage == "active":
            raise
    patiently(lambda: client.restore_run(run_id))
    return patiently(call)


def unreachable(error: BaseException | None) -> bool:
    """Return whether the server was not reached, directly or by a proxy in front of it."""
    if isinstance(error, MlflowException) and not isinstance(error, RestException):
        return isinstance(error.__context__, OSError)  # from requests or the network
    return isinstance(error, RestException) and error.get_http_status_code() in (502, 503, 504)


def is_away(client: MlflowClient) -> bool:
    """Return whether the server cannot be reached now."""
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if not unreachable(error):
            raise
        return True
    return False


def passing(error: BaseException) -> bool:
    """Return whether the store may accept later what it refuses now, because it is away or busy."""
    if isinstance(error, MlflowException):
        return error.error_code in PASSING or unreachable(error)
    # Artifacts are sent by requests (an OSError) or, to S3, by boto.
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in (
        "boto3",
        "botocore",
    )


def resolve(uri: str | None, directory: Path) -> str:
    """Return a tracking address that means the same in every process: the given one, else
    $MLFLOW_TRACKING_URI, else MLflow's own default, `sqlite:///mlflow.db`, in `directory`."""
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    relative = re.fullmatch(r"sqlite:///([^/].*)", uri)
    if relative:
        return f"sqlite:///{(directory / relative[1]).resolve()}"
    return uri


def safe(uri: str) -> str:
    """Return the address without credentials, for messages and records."""
    if uri.startswith("sqlite:"):
        return uri
    # Up to the last @: an unquoted password may contain a slash or an @.
    return re.sub(r"\?.*", "", re.sub(r"(?<=://).*@", "***@", uri))


def _redacted(uri: str, error: Exception) -> str:
    """Return an error's first line without the address's credentials."""
    text = first_line(error)
    secret = re.search(r"://(.*)@", uri)
    for part in (secret[1], secret[1].partition(":")[2]) if secret else ():
        text = text.replace(part, "***") if part else text
    return text


def connect(uri: str) -> MlflowClient:
    """Return a client for a store that answers. Raises UserError within seconds where none does."""
    scheme = re.match(r"(\w+)(\+\w+)?://", uri)
    if uri.startswith(("http://", "https://")):
        _probe_server(uri)
    elif uri.startswith("sqlite:///"):
        _probe_file(uri)
    elif scheme and scheme[1] in DATABASES:
        _probe_database(uri, DATABASES[scheme[1]])
    else:
        raise UserError(
            f"tracking.uri: {safe(uri)!r} is no MLflow store that raykd uses; write "
            "sqlite:///mlflow.db, http://host:port of an MLflow server, or a database address"
        )
    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except MlflowException as error:
        advice = ""
        if error.get_http_status_code() in (401, 403):
            advice = "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        raise UserError(
            f"tracking.uri: {safe(uri)} does not answer as a store: {_redacted(uri, error)}{advice}"
        ) from error
    return client


# MLflow retries an absent server or a broken database for minutes, so probe them first.


def _health(uri: str) -> str:
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}/health"


def clock_offset(uri: str) -> float | None:
    """Return the seconds by which this clock is ahead of a server's; None if it does not tell."""
    try:
        with urllib.request.urlopen(_health(uri), timeout=PROBE_SECONDS) as answer:
            now, stated = time.time(), parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return None
    return now - stated if abs(now - stated) > 1 else 0.0  # the answer leaves out parts of a second


def _probe_server(uri: str) -> None:
    try:
        with urllib.request.urlopen(_health(uri), timeout=PROBE_SECONDS):
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return  # the server answers; the client checks the access rights later
        reason: object = error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
    raise UserError(
        f"tracking.uri: no MLflow server answers at {safe(uri)} ({str(reason).strip()}); start it, "
        "correct the address, or leave it out to use sqlite:///mlflow.db here"
    )


def _probe_file(uri: str) -> None:
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if not path.parent.is_dir():
        raise UserError(f"tracking.uri: {uri}: no folder {path.parent}; make it, or write another")
    try:
        if not path.exists():
            _create(path)
        scratch.clear(path.parent, DRAFT)
        with closing(sqlite3.connect(path, timeout=0)) as database:
            database.execute("BEGIN IMMEDIATE")  # takes the write lock and writes nothing
        schema.check(uri, uri)
    except schema.failures() as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return  # another process is writing now
        raise UserError(
            f"tracking.uri: {uri}: {path} cannot be used as an SQLite database ({error}); write "
            "another place"
        ) from error


def _create(path: Path) -> None:
    """Create a new store and put it in its place when it is complete: MLflow creates its tables in
    many steps, and a kill or a second process in between would leave a broken database."""
    with scratch.draft(path.parent, DRAFT) as folder:
        new = folder / path.name
        MlflowClient(tracking_uri=f"sqlite:///{new}").search_experiments(max_results=1)
        try:
            os.link(new, path)
        except FileExistsError:
            return  # another process created it first
        except OSError:  # a file system without hard links
            new.replace(path)


def _probe_database(uri: str, port: int) -> None:
    try:
        parts = urlsplit(uri)
        if parts.hostname:
            socket.create_connection((parts.hostname, parts.port or port), PROBE_SECONDS).close()
        schema.check(uri, safe(uri))
    except ImportError as error:
        raise UserError(
            f"tracking.uri: {safe(uri)} needs the Python package {error.name}; install it here and "
            "on every node, or use an MLflow server"
        ) from error
    except schema.failures() as error:
        raise UserError(
            f"tracking.uri: no database answers at {safe(uri)} ({_redacted(uri, error)}); start "
            "it, or correct the address"
        ) from error


def find_experiment(client: MlflowClient, name: str) -> str | None:
    """Return the id of a sweep's experiment; None if there is none. Raises UserError if it was
    deleted, or written by a newer raykd."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None
    if experiment.lifecycle_stage != "active":
        raise UserError(
            f"name: the experiment {name!r} was deleted in this store; restore it "
            f"(mlflow experiments restore -x {experiment.experiment_id}) or name the sweep "
            "otherwise"
        )
    refuse_newer(client, experiment)
    return str(experiment.experiment_id)


def refuse_newer(client: MlflowClient, experiment: Experiment) -> None:
    """Raises UserError if the experiment is of a version that only a newer raykd reads."""
    check_store(experiment.name, experiment.tags, safe(client.tracking_uri))


def experiment(client: MlflowClient, name: str) -> str:
    """Return the id of a sweep's experiment, creating it if needed."""
    existing = find_experiment(client, name)
    if existing is not None:
        return existing
    location = None
    uri = client.tracking_uri
    if uri.startswith("sqlite:///"):
        # Absolute, next to the database, because workers run in other folders.
        folder = Path(uri.removeprefix("sqlite:///")).parent
        location = (folder / "mlruns" / re.sub(r"\W+", "-", name)).as_uri()
    # Names are unique, so the experiment gets its name after its board of claims: every process
    # that finds the experiment then finds the same board.
    draft = f"{name} {uuid4().hex}"
    created = str(client.create_experiment(draft, location, tags=sweep_id.new()))
    locks.give_board(client, created)
    try:
        client.rename_experiment(created, name)
    except MlflowException:
        client.delete_experiment(created)
        existing = find_experiment(client, name)  # another process made it first
        if existing is None:
            raise
        return existing
    return created
