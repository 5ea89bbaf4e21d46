"""An experiment's trials as a server had them when it was last asked for all, and what has changed.

A server gives out runs whole, page by page, which takes long for thousands. Those that are over
change no more, so they are kept on disk, and it is asked for the rest: the ones that run, that ran
when it was asked, that ended since, that are deleted. What is deleted for good (`mlflow gc`) or
restored meanwhile shows when all are read again, as a launch and a verdict do: a glance is for
showing, nothing is decided by it.

A launch leaves what it read last at the server, so that a machine that never asked begins there.
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
LEFT = "raykd.glance"  # an experiment's tag: the run that has it as an artifact, and its name
SKEW_MS = 60_000  # by which the clocks of workers, who say when a trial ended, may differ
WORTH = 200  # changes are worth a new file


def whole(client: MlflowClient, experiment: str, home: Path) -> list[Row]:
    """Every trial's run that is not deleted, in no order."""
    rows = bulk.rows(client, experiment)
    if on_a_server(client):
        _keep(_file(client, client.get_experiment(experiment), home), rows)
    return rows


def glance(client: MlflowClient, experiment: str, home: Path) -> list[Row]:
    """The same, quicker where a server was asked for all before."""
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
    # FINISHED is for good; who failed may begin again.
    over = [r.run_id for r in before.values() if r.status == "FINISHED" and (r.end or 0) >= since]
    others = f" AND attributes.run_id NOT IN {_ids(over[:PAGE])}" if over else ""
    changed |= search(f"attributes.end_time >= {since}{others}")
    ran = [r.run_id for r in before.values() if r.status == "RUNNING" and r.run_id not in changed]
    for i in range(0, len(ran), PAGE):  # what waited on a worker's disk ended when it says
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
    """Leave with a launch's run what was read here last, where it is more than one answer gives and
    whoever reaches the server reaches its artifacts too."""
    info = client.get_experiment(experiment)
    if not on_a_server(client) or not info.artifact_location.startswith("mlflow-artifacts:"):
        return
    snapshot = _file(client, info, home)
    if not snapshot.exists():  # another launch has left a newer one in the meantime
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
    """Whether a launch has left what it read, and it is now in the file. It only saves time: where
    it cannot be had, all is read, and that fails where something is wrong with the server."""
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
    """Another one when a launch has left a newer one: there may be less to ask for since that."""
    key = [safe(client.tracking_uri), experiment.experiment_id, _name(experiment)]
    return home / FOLDER / digest(key) / f"{digest(experiment.tags.get(LEFT))}.json"


def _keep(file: Path, rows: list[Row]) -> None:
    write_json(file, rows)
    for older in set(file.parent.glob("*.json")) - {file}:
        older.unlink(missing_ok=True)


def _name(experiment: Experiment) -> str:
    """Of what this version of raykd reads, in this very experiment: another store may come to its
    address."""
    return f"glance-{digest([experiment.creation_time, Row._fields, TAGS, PARAMS])}.json.gz"
