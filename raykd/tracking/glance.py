"""An experiment's trials as a server had them when it was last asked for all, and what has changed.

A server gives out runs whole, page by page, which takes long for thousands. Those that are over
change no more, so they are kept on disk, and it is asked for the rest: the ones that run, that ran
when it was asked, that ended since, that are deleted. What is deleted for good (`mlflow gc`) or
restored meanwhile shows when all are read again, as a launch and a verdict do: a glance is for
showing, nothing is decided by it.
"""

from __future__ import annotations

import json
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import ViewType

from raykd.kept import put
from raykd.tracking import tables
from raykd.tracking.store import safe
from raykd.tracking.tables import PARAMS, TAGS, TRIAL, Row, on_a_server
from raykd.trial import digest

FOLDER = "glances"
SKEW_MS = 60_000  # by which the clocks of workers, who say when a trial ended, may differ
WORTH = 200  # changes are worth a new file
AT_ONCE = 100  # ids in a query


def whole(client: MlflowClient, experiment: str, home: Path) -> list[Row]:
    """Every trial's run that is not deleted, in no order."""
    found = tables.rows(client, experiment)
    if on_a_server(client):
        put(_file(client, experiment, home), found)
    return found


def glance(client: MlflowClient, experiment: str, home: Path) -> list[Row]:
    """The same, quicker where a server was asked for all before."""
    file = _file(client, experiment, home)
    if not on_a_server(client) or not file.exists():
        return whole(client, experiment, home)
    before = {run_id: Row(run_id, *rest) for run_id, *rest in json.loads(file.read_text("utf-8"))}
    ended = max((row.end or 0 for row in before.values() if row.status != "RUNNING"), default=0)

    def search(query: str, view: ViewType = ViewType.ACTIVE_ONLY) -> dict[str, Row]:
        runs = map(tables.row, tables.pages(client, [experiment], query, view))
        return {row.run_id: row for row in runs if TRIAL in row.tags}

    changed = search("attributes.status = 'RUNNING'")
    changed |= search(f"attributes.end_time >= {ended - SKEW_MS}")
    ran = [r.run_id for r in before.values() if r.status == "RUNNING" and r.run_id not in changed]
    for i in range(0, len(ran), AT_ONCE):  # what waited on a worker's disk ended when it says
        ids = ", ".join(f"'{run_id}'" for run_id in ran[i : i + AT_ONCE])
        changed |= search(f"attributes.run_id IN ({ids})")
    now = before | changed
    for run_id in search("", ViewType.DELETED_ONLY):
        now.pop(run_id, None)
    if sum(before.get(run_id) != row for run_id, row in changed.items()) > WORTH:
        put(file, list(now.values()))
    return list(now.values())


def _file(client: MlflowClient, experiment: str, home: Path) -> Path:
    made = client.get_experiment(experiment).creation_time  # another store may come to this address
    read = (Row._fields, TAGS, PARAMS)  # of this version of raykd
    return home / FOLDER / f"{digest([safe(client.tracking_uri), experiment, made, *read])}.json"
