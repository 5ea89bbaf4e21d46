"""Ray's settings, and how a process joins a cluster or starts a Ray of its own."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from raykd.errors import UserError
from raykd.runtime.signals import stop_on_sigterm
from raykd.sweep.resources import this_machine

# Whether workers are told that their node is to be taken away. It costs a process a job, and a
# sweep's own Ray has no such node.
NOTICES = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"

# Set before Ray is imported, and inherited by every process that it starts.
SETTINGS = {
    # Reports are throttled by this poll (two seconds by default); a fifth of one costs nothing.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    NOTICES: "0",
    # A cloud takes minutes to bring a node; the request for it stands all the while.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1800",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Tune's record of all its trials, which nobody reads: at the start and at the end only.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1000000",
}

REACH_SECONDS = 5.0


def check_address(address: str) -> None:
    """Ray ends the process that asks for an absent cluster, so knock first."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # `auto`, which Ray looks up on this machine
    try:
        socket.create_connection((host, int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"--address: no Ray cluster at {address} ({error.strerror or error}); start one with "
            "`ray start --head`, or leave --address out to use this machine"
        ) from None


@contextmanager
def local_ray() -> Iterator[None]:
    """A Ray of this sweep's own for the block; none where a cluster was joined."""
    import ray

    if ray.is_initialized():
        yield
        return
    if "RAY_AUTH_MODE" not in os.environ:
        # Its servers listen on every address of this machine: they answer this sweep alone.
        from ray._private.authentication.authentication_token_setup import _enable_token_auth

        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        _enable_token_auth()  # as Ray does by itself, but for a word and a file in the home
    node = this_machine()
    options = {
        "address": "local",
        "num_cpus": int(node.cpus),
        "resources": {"trial_slot": int(node.cpus)},
        "include_dashboard": False,
    }
    with ray_started(options):
        yield


def one_line(error: Exception) -> str:
    """What Ray says over several lines, such as the versions of both sides that do not fit."""
    return " ".join(str(error).split())[:400]


@contextmanager
def ray_started(options: dict[str, Any]) -> Iterator[None]:
    os.environ.update(SETTINGS)
    import ray

    # The one switch for "(raylet) A worker died", which log_to_driver leaves on; what is lost and
    # what is done about it is ours to tell.
    ray._private.worker._worker_logs_enabled = False
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        ray.init(
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **options,
        )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(
            f"--address: Ray does not start with {options['address']!r}: {one_line(error)}"
        ) from error
    stop_on_sigterm()  # Ray has put its own there
    try:
        yield
    finally:
        ray.shutdown()
