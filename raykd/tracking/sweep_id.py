"""The id of a sweep in its store, which raykd writes on the experiment once, with the version of
the store's format.

Folders outside the store are named by it (`raykd.sweep.folders`). An address would not do: a new
store may get an old address, and a file may move with all its content.
"""

from __future__ import annotations

from uuid import uuid4

from mlflow import MlflowClient

from raykd.config.versions import STORE, STORE_TAG
from raykd.tracking import locks

ID = "raykd.id"
"""Tag of an experiment that holds the id."""


def new() -> dict[str, str]:
    """Return the tags of a new experiment."""
    return {ID: uuid4().hex, STORE_TAG: str(STORE)}


def identity(client: MlflowClient, experiment_id: str) -> str:
    """Return the id of a sweep's experiment: 32 hexadecimal digits, equal only in a store and its
    copies. An experiment without one (of raykd 0.1.0, of MLflow's UI) gets its board's, on which
    all processes agree."""
    experiment = client.get_experiment(experiment_id)
    sweep_id = experiment.tags.get(ID)
    if sweep_id is None:
        sweep_id = locks.board(client, experiment)
        client.set_experiment_tag(experiment_id, ID, sweep_id)
    return str(sweep_id)
