"""Locks on trials: one launch at a time may train a trial, even if several launches share a store.

MLflow has no lock and no compare-and-swap, but a run's param can be written once only: if two
processes log different values for one key, the database's primary key lets one succeed and refuses
the other. So each sweep's experiment has one run, its board, whose params are the claims:
`<trial>.<n>` = the launch that holds the trial for the n-th time. A process that finds the newest
claim's launch dead (see `launch`) writes the next number, which again only one process can.

There is one board per experiment, because the board exists before the experiment gets its name, and
names are unique (`store.experiment`). An experiment that raykd did not create gets its board here,
by a tag and a pause for other processes that do the same. Only there does the lock depend on time
instead of keys.

A person may delete the board in MLflow's UI. It is then restored with its claims, or, if it is gone
for good (`mlflow gc`), made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

BOARD = "raykd.claims"
GRACE_SECONDS = 5.0  # by then a request that was sent has arrived
FIRST_MS = 1  # start time of a board: MLflow's list of runs, the newest first, shows it last

Alive = Callable[[str], bool]
"""Whether the launch of this run id is alive."""


def give_board(client: MlflowClient, experiment: str) -> str:
    """Create a board for an experiment, store its run id as the experiment's tag, and return it."""
    note = "Internal to raykd: which launch trains which trial. Holds no result; keep it."
    tags = {BOARD: "true", "mlflow.note.content": note}
    run = client.create_run(experiment, FIRST_MS, run_name="claims (internal)", tags=tags)
    client.set_terminated(run.info.run_id, "FINISHED", FIRST_MS)
    client.set_experiment_tag(experiment, BOARD, run.info.run_id)
    return str(run.info.run_id)


def board(client: MlflowClient, experiment: Experiment) -> str:
    """Return the id of the run that holds an experiment's claims, creating it if needed."""
    run_id = experiment.tags.get(BOARD)
    return run_id or new_board(client, experiment.experiment_id, gone=None)


def new_board(client: MlflowClient, experiment: str, gone: str | None) -> str:
    """Return the board in place of one that is gone, if there was one, on which all processes
    agree."""
    if client.get_experiment(experiment).tags.get(BOARD) == gone:
        give_board(client, experiment)
    # By then every process that saw no board has written its own, and the last one counts.
    time.sleep(GRACE_SECONDS)
    return str(client.get_experiment(experiment).tags[BOARD])


class BoardIsGone(Exception):
    """The board was deleted for good."""


def take(client: MlflowClient, board: str, trial: str, launch: str, alive: Alive) -> bool:
    """Claim a trial for a launch. Returns False where another living launch holds it. Raises
    BoardIsGone."""
    # Unique per call, so that a launch that lost the trial does not mistake its old claim for it.
    number, claim = 1, f"{launch} {uuid4().hex}"
    while not _wrote(client, board, f"{trial}.{number}", claim):
        holders = _held(client, board, trial)
        number = max(holders)
        if holders[number] == launch:
            return True
        if alive(holders[number]):
            return False
        number += 1
    return True


def _wrote(client: MlflowClient, board: str, key: str, value: str) -> bool:
    """Log the param and return whether it was accepted: not if it has another value. Logging the
    same value again is accepted, so a lost answer does no harm. Restores a deleted board."""
    try:
        client.log_param(board, key, value)
        return True
    except MlflowException as error:
        if error.error_code not in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
            raise
        refusal = error
    try:
        run = client.get_run(board)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise BoardIsGone from error
        raise
    if run.info.lifecycle_stage != "active":
        client.restore_run(board)
        return _wrote(client, board, key, value)
    if key not in run.data.params:
        raise refusal
    return False


def _held(client: MlflowClient, board: str, trial: str) -> dict[int, str]:
    """Return the launch of each claim on a trial, by the claim's number."""
    params = client.get_run(board).data.params
    keys = (key.rpartition(".") for key in params)
    return {int(n): params[f"{t}.{n}"].split()[0] for t, _, n in keys if t == trial}
