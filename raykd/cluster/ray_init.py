"""Ray's settings, and functions that join a cluster or start a local Ray."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from raykd.errors import UserError
from raykd.runtime.signals import stop_on_sigterm
from raykd.sweep.resources import this_machine

# Whether workers are notified that their node will be preempted. This costs one process per job,
# and a local Ray has no such node.
NOTICES = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"

# Set before Ray is imported, and inherited by every process that Ray starts.
SETTINGS = {
    # This poll (two seconds by default) delays reports; a fifth of a second costs nothing.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    NOTICES: "0",
    # A cloud takes minutes to start a node, and the request stays open until then.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1800",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # A local Ray would begin with an idle process for each core and wait for them. Tune's and
    # Train's processes have environments of their own, so that none of those is ever used.
    "RAY_prestart_worker_first_driver": "0",
    # Tune's record of its trials, which nothing reads: written at the start and at the end only.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1000000",
}

REACH_SECONDS = 5.0
STARTS = 2  # attempts to start a local Ray: on a busy machine the first may take too long
MOST_PATH = 40  # bytes of a folder for Ray's sockets, whose whole paths may have 107
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def check_address(address: str) -> None:
    """Raise UserError where no cluster answers, and for an address of Ray Client or of Ray's
    dashboard, which tasks of another machine come in by. Ray itself would end this process."""
    scheme, mark, rest = address.rpartition("://")
    host = rest.rpartition(":")[0] or rest
    if mark:
        job = f"http://{host}:8265" if scheme == "ray" else address
        raise UserError(
            f"--address: {address} is an address for clients outside of the cluster, and a sweep "
            f"runs inside: write --address {host}:6379 on a machine of the cluster, or send the "
            f"command there with `ray job submit --address {job} -- raykd sweep ...`"
        )
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return  # `auto`: Ray looks the address up on this machine
    try:
        socket.create_connection((host, int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--address: no Ray cluster at {address} ({getattr(error, 'strerror', 0) or error}); "
            "start one with `ray start --head`, or leave --address out to use this machine"
        ) from None


def socket_folder() -> dict[str, str]:
    """Return Ray's option for a short folder if its own, of RAY_TMPDIR or TMPDIR, is too long for
    the paths of sockets. Raises UserError where there is none."""
    from ray._common.utils import get_default_ray_temp_dir

    own: str = get_default_ray_temp_dir()
    if len(own.encode()) <= MOST_PATH:
        return {}
    for parent in SHORT_FOLDERS:
        folder = Path(parent) / f"raykd-{os.getuid()}"
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
                return {"_temp_dir": str(folder)}
    raise UserError(
        f"TMPDIR: {own} is too long for Ray's sockets; set RAY_TMPDIR to a folder with a path of "
        f"at most {MOST_PATH - len('/ray')} characters"
    )


@contextmanager
def local_ray() -> Iterator[None]:
    """Start a local Ray for the block, unless a cluster was joined."""
    import ray

    if ray.is_initialized():
        yield
        return
    if "RAY_AUTH_MODE" not in os.environ:
        # Ray's servers listen on every address of this machine; the token keeps others out.
        from ray._private.authentication.authentication_token_setup import _enable_token_auth

        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        _enable_token_auth()  # as Ray does, but without a message and a file in the home
    node = this_machine()
    options: dict[str, Any] = {
        "address": "local",
        "num_cpus": int(node.cpus),
        "resources": {"trial_slot": int(node.cpus)},
        "include_dashboard": False,
        **socket_folder(),
    }
    folder = os.path.join(tempfile.gettempdir(), "ray")
    if "RAY_TMPDIR" not in os.environ and len(folder.encode()) <= MOST_PATH:
        options.setdefault("_temp_dir", folder)  # Ray itself never removes its sockets and logs
    with ray_started(options):
        yield


def one_line(error: Exception) -> str:
    """Return Ray's message as one line of at most 400 characters. Some messages have several lines,
    such as those about different versions."""
    return " ".join(str(error).split())[:400]


@contextmanager
def ray_started(options: dict[str, Any]) -> Iterator[None]:
    """Start or join Ray for the block. Raises UserError where Ray does not start."""
    os.environ.update(SETTINGS)
    import ray

    # Only this switch turns off "(raylet) A worker died", which log_to_driver does not. raykd
    # reports losses and retries itself.
    ray._private.worker._worker_logs_enabled = False
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    local = options["address"] == "local"
    try:
        for attempt in range(STARTS if local else 1):
            if _starts(options, last=not local or attempt == STARTS - 1):
                break
    except Exception as error:
        if not _is_expected(error):
            raise
        if not local:
            raise UserError(
                f"--address: Ray does not start with {options['address']!r}: {one_line(error)}"
            ) from error
        raise UserError(
            f"Ray does not start on this machine: {one_line(error)}; if the machine is busy, run "
            "this again when it is less so"
        ) from error
    stop_on_sigterm()  # Ray has installed its own handler
    try:
        yield
    finally:
        ray.shutdown()


def _starts(options: dict[str, Any], last: bool) -> bool:
    """Start or join Ray. Returns False where that failed, and what was started has ended; raises
    the error at the last attempt."""
    import ray

    before = set(psutil.Process().children())
    try:
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:
        if last or not _is_expected(error):
            raise
        ray.shutdown()
        started = set(psutil.Process().children()) - before  # Ray forgets what it had started
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(started)
        return False
    return True


def _is_expected(error: Exception) -> bool:
    """Return whether Ray raises such errors for the machine or the cluster. Where one of its
    processes starts too late, it raises no class of its own."""
    import ray

    expected = (OSError, RuntimeError, ValueError, ray.exceptions.RayError)
    return isinstance(error, expected) or type(error) is Exception
