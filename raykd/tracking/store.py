"""Where a sweep's results are kept, and its experiment there."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from raykd.errors import UserError

PROBE_SECONDS = 5.0


def resolve(uri: str | None, directory: Path) -> str:
    """A tracking address that means the same in every process: as stated, else
    $MLFLOW_TRACKING_URI, else MLflow's own default, `sqlite:///mlflow.db`, in `directory`."""
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    relative = re.fullmatch(r"sqlite:///([^/].*)", uri)
    if relative:
        return f"sqlite:///{(directory / relative[1]).resolve()}"
    return uri


def safe(uri: str) -> str:
    """The address without credentials, for messages."""
    parts = urlsplit(uri)
    if parts.password is None and parts.username is None:
        return uri
    host = parts.hostname or ""
    return uri.replace(parts.netloc, f"***@{host}" + (f":{parts.port}" if parts.port else ""))


def connect(uri: str) -> MlflowClient:
    """A client for a store that answers. Raises UserError within seconds where none does."""
    if uri.startswith(("http://", "https://")):
        _probe(uri)
    elif uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        if not path.parent.is_dir():
            raise UserError(
                f"tracking.uri: {uri}: no folder {path.parent}; make it, or write another"
            )
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise UserError(f"tracking.uri: {uri}: {path} cannot be written; write another place")
    elif not re.match(r"(postgresql|mysql|mssql)(\+\w+)?://", uri):
        raise UserError(
            f"tracking.uri: {safe(uri)!r} is no MLflow store that raykd uses; write "
            "sqlite:///mlflow.db, http://host:port of an MLflow server, or a database address"
        )
    client = MlflowClient(tracking_uri=uri)
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        reason = str(error).replace(uri, safe(uri)).strip().splitlines()[0][:200]
        raise UserError(
            f"tracking.uri: {safe(uri)} does not answer as a store: {reason}"
        ) from error
    return client


def _probe(uri: str) -> None:
    """MLflow's own client would retry an absent server for minutes."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    health = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/health"
    try:
        with urllib.request.urlopen(health, timeout=PROBE_SECONDS):
            pass
    except urllib.error.HTTPError:
        pass  # it answers; whether it lets us in is for the client to find out
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"tracking.uri: no MLflow server answers at {safe(uri)} ({reason}); start it, correct "
            "the address, or leave it out to use sqlite:///mlflow.db here"
        ) from None


def find_experiment(client: MlflowClient, name: str) -> str | None:
    """The id of a sweep's experiment, if there is one."""
    found = client.get_experiment_by_name(name)
    if found is None:
        return None
    if found.lifecycle_stage != "active":
        raise UserError(
            f"name: the experiment {name!r} was deleted in this store; restore it "
            f"(mlflow experiments restore -x {found.experiment_id}) or name the sweep otherwise"
        )
    return str(found.experiment_id)


def experiment(client: MlflowClient, name: str) -> str:
    """The id of a sweep's experiment, made if need be."""
    found = find_experiment(client, name)
    if found is not None:
        return found
    location = None
    uri = client.tracking_uri
    if uri.startswith("sqlite:///"):
        # Absolute, beside the database: workers run in other folders.
        folder = Path(uri.removeprefix("sqlite:///")).parent
        location = (folder / "mlruns" / re.sub(r"\W+", "-", name)).as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        found = find_experiment(client, name)  # another process made it first
        if found is None:
            raise
        return found
