"""A job's driver: the Tune trial that starts and watches the Ray Train workers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.v2._internal.exceptions import CheckpointManagerInitializationError
from ray.train.v2.api.exceptions import ControllerError
from ray.tune.integration.ray_train import TuneReportCallback

from raykd.cluster import leftovers
from raykd.cluster.trainer import Trainer, backend, train_job


def drive(config: dict[str, Any], *, settings: dict[str, Any]) -> None:
    """Tune's trainable: needs a `trial_slot` and nothing else; the workers take the machines.

    `config` holds the job as JSON and its id; `settings` is the launch's, in plain values.
    """
    job = config["id"]
    folder = Path(settings["storage"]) / job
    leftovers.free_dead_attempts(job)
    try:
        _trainer(config, settings).fit()
    except ControllerError as error:
        if not isinstance(error.controller_failure, CheckpointManagerInitializationError):
            raise
        # A kill in the instant of writing leaves Train's own note of the checkpoints in halves:
        # without it they are worth nothing, and the job begins anew.
        shutil.rmtree(folder, ignore_errors=True)
        _trainer(config, settings).fit()
    leftovers.forget(job)
    shutil.rmtree(folder, ignore_errors=True)


def _trainer(config: dict[str, Any], settings: dict[str, Any]) -> Trainer:
    share = settings["share"]
    return Trainer(
        train_job,
        train_loop_config={**settings["worker"], **config},
        backend_config=backend(share),
        scaling_config=ScalingConfig(
            num_workers=share["workers"],
            use_gpu=bool(share["gpus"]),
            resources_per_worker={
                "CPU": share["cpus"],
                **({"GPU": share["gpus"]} if share["gpus"] else {}),
            },
        ),
        run_config=RunConfig(
            # Train goes on from the newest checkpoint of a run with this name, whoever began it.
            name=config["id"],
            storage_path=settings["storage"],
            failure_config=FailureConfig(max_failures=settings["retries"]),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            callbacks=[TuneReportCallback(), leftovers.NoteController(config["id"])],
        ),
    )
