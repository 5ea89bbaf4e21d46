"""Who may train a trial: one launch at a time, whoever else runs the same sweep into the store.

MLflow has no lock and no compare-and-swap, but a run's param is written once: of two processes that
log different values for one key, one succeeds and the other is refused, by the database's primary
key. So each sweep's experiment has one run, its board, whose params are the claims:
`<trial>.<n>` = who holds the trial for the n-th time. Who finds the newest claim's
launch dead (see `launch`) writes the next number, which again only one can.

There is one board, because it is in the experiment before the experiment has its name, and names
are unique (`store.experiment`). An experiment that raykd did not make gets its board here, by a
tag and a pause for whoever does the same; there alone it is a matter of time, not of keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

BOARD = "raykd.claims"
GRACE_SECONDS = 5.0  # a request that was sent has arrived by then

Alive = Callable[[str], bool]
"""Whether the launch of this run id is alive."""


def give_board(client: MlflowClient, experiment: str) -> str:
    """A board for an experiment, as a tag of the experiment says."""
    run = client.create_run(experiment, run_name="claims", tags={BOARD: "true"})
    client.set_terminated(run.info.run_id, "FINISHED")
    client.set_experiment_tag(experiment, BOARD, run.info.run_id)
    return str(run.info.run_id)


def board(client: MlflowClient, experiment: str) -> str:
    """The run that holds an experiment's claims."""
    run_id = client.get_experiment(experiment).tags.get(BOARD)
    if run_id is None:
        give_board(client, experiment)
        # After it all who found none have written, and the last counts.
        time.sleep(GRACE_SECONDS)
        run_id = client.get_experiment(experiment).tags[BOARD]
    return str(run_id)


def take(client: MlflowClient, board: str, trial: str, launch: str, alive: Alive) -> bool:
    """Claim a trial for a launch. False where another living launch holds it."""
    # Of this call alone: who held the trial once, and lost it, does not take its old claim for one.
    number, mine = 1, f"{launch} {uuid4().hex}"
    while not _wrote(client, board, f"{trial}.{number}", mine):
        held = _held(client, board, trial)
        number = max(held)
        if held[number] == launch:
            return True
        if alive(held[number]):
            return False
        number += 1
    return True


def _wrote(client: MlflowClient, board: str, key: str, value: str) -> bool:
    """Writing again what stands there is no change, so an answer that was lost does no harm."""
    try:
        client.log_param(board, key, value)
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        return False
    return True


def _held(client: MlflowClient, board: str, trial: str) -> dict[int, str]:
    params = client.get_run(board).data.params
    keys = (key.rpartition(".") for key in params)
    return {int(n): params[f"{t}.{n}"].split()[0] for t, _, n in keys if t == trial}
