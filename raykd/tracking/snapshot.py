"""A local snapshot of a server's trials, and an update by what has changed since.

A server returns whole runs page by page, which takes long for thousands. Finished runs do not
change, so they are kept on disk, and the server is asked for the others only: runs that are
running, that were running at the last read, that ended since, or that are deleted. Runs that were
deleted for good (`mlflow gc`) or restored in the meantime are noticed when all are read again, as a
launch and a verdict do. A glance is for display; no decision depends on it.

A launch uploads its snapshot to the server, so a new machine can start from it.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException

from raykd.runtime.memo import digest, write_json
from raykd.tracking import bulk
from raykd.tracking.bulk import PAGE, PARAMS, TAGS, TRIAL, Row, on_a_server
from raykd.tracking.store import safe

FOLDER = "glances"
LEFT = "raykd.glance"  # an experiment's tag: the run and the name of the uploaded artifact
SKEW_MS = 60_000  # tolerated difference between the clocks of workers, which set end times
WORTH = 200  # changed runs that justify a new file


def whole(client: MlflowClient, experiment: str, home: Path) -> list[Row]:
    """Return every trial's run that is not deleted, in no order."""
    rows = bulk.rows(client, experiment)
    if on_a_server(client):
        _keep(_file(client, client.get_experiment(experiment), home), rows)
    return rows


def glance(client: MlflowClient, experiment: str, home: Path) -> list[Row]:
    """Return the same, quicker if all runs were read from the server before."""
    info = client.get_experiment(experiment)
    file = _file(client, info, home)
    if not on_a_server(client) or not (file.exists() or _fetched(client, info, file)):
        return whole(client, experiment, home)
    before = {run_id: Row(run_id, *rest) for run_id, *rest in json.loads(file.read_text("utf-8"))}
    ended = max((row.end or 0 for row in before.values() if row.status != "RUNNING"), default=0)

    def search(query: str, view: ViewType = ViewType.ACTIVE_ONLY) -> dict[str, Row]:
        runs = map(bulk.row, bulk.pages(client, [experiment], query, view))
        return {row.run_id: row for row in runs if TRIAL in row.tags}

    changed = search("attributes.status = 'RUNNING'")
    since = ended - SKEW_MS
    # FINISHED is final; a failed trial may be resumed.
    over = [r.run_id for r in before.values() if r.status == "FINISHED" and (r.end or 0) >= since]
    others = f" AND attributes.run_id NOT IN {_ids(over[:PAGE])}" if over else ""
    changed |= search(f"attributes.end_time >= {since}{others}")
    ran = [r.run_id for r in before.values() if r.status == "RUNNING" and r.run_id not in changed]
    # A result that was delivered late has its own end time, which may be before `since`.
    for i in range(0, len(ran), PAGE):
        changed |= search(f"attributes.run_id IN {_ids(ran[i : i + PAGE])}")
    now = before | changed
    for run_id in search("", ViewType.DELETED_ONLY):
        now.pop(run_id, None)
    if sum(before.get(run_id) != row for run_id, row in changed.items()) > WORTH:
        _keep(file, list(now.values()))
    return list(now.values())


def _ids(runs: list[str]) -> str:
    return "(" + ", ".join(f"'{run_id}'" for run_id in runs) + ")"


def share(client: MlflowClient, experiment: str, home: Path, launch: str) -> None:
    """Upload the last snapshot as an artifact of a launch, if it is larger than one page and the
    server also serves artifacts."""
    info = client.get_experiment(experiment)
    if not on_a_server(client) or not info.artifact_location.startswith("mlflow-artifacts:"):
        return
    snapshot = _file(client, info, home)
    if not snapshot.exists():  # another launch has uploaded a newer one in the meantime
        return
    content = snapshot.read_bytes()
    if len(json.loads(content)) < PAGE:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / _name(info)
        file.write_bytes(gzip.compress(content))
        client.log_artifact(launch, str(file))
    client.set_experiment_tag(experiment, LEFT, f"{launch} {_name(info)}")


def _fetched(client: MlflowClient, experiment: Experiment, file: Path) -> bool:
    """Download the snapshot that a launch uploaded into the file, and return whether that worked.
    It only saves time: if it fails, all runs are read, and that fails if the server is at fault."""
    run, _, name = experiment.tags.get(LEFT, "").partition(" ")
    if name != _name(experiment):
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            archive = Path(client.download_artifacts(run, name, folder))
        except (MlflowException, OSError):  # gone with its run, or the artifacts' store is away
            return False
        _keep(file, json.loads(gzip.decompress(archive.read_bytes())))
    return True


def _file(client: MlflowClient, experiment: Experiment, home: Path) -> Path:
    """Return the snapshot's path. It changes when a launch has uploaded a newer snapshot, after
    which less may have changed."""
    key = [safe(client.tracking_uri), experiment.experiment_id, _name(experiment)]
    return home / FOLDER / digest(key) / f"{digest(experiment.tags.get(LEFT))}.json"


def _keep(file: Path, rows: list[Row]) -> None:
    """Write the snapshot and delete older ones."""
    write_json(file, rows)
    for older in set(file.parent.glob("*.json")) - {file}:
        older.unlink(missing_ok=True)


def _name(experiment: Experiment) -> str:
    """Return the artifact's name, which depends on the fields that this version of raykd reads and
    on this very experiment, because another store may get the same address."""
    return f"glance-{digest([experiment.creation_time, Row._fields, TAGS, PARAMS])}.json.gz"
