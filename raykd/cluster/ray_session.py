"""The Ray that a sweep runs on: one of its own on this machine, or a running cluster it joins."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from raykd.cluster.cores import jobs_at_once
from raykd.cluster.shared_storage import check_nodes
from raykd.config import budget
from raykd.config.cohort import Cohort
from raykd.errors import UserError
from raykd.maps.layer_map import LayerMap
from raykd.models import quantization
from raykd.planning.plan import stored_bytes
from raykd.planning.trials import explore_trial
from raykd.runtime import memory
from raykd.runtime.signals import stop_on_sigterm
from raykd.sweep.resources import Node, Share, grown, share
from raykd.tracking import store
from raykd.tracking.delivery import send_left
from raykd.tracking.launch import other_live_launch

if TYPE_CHECKING:
    from raykd.sweep.sweep import Sweep

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


@contextmanager
def machine(sweep: Sweep, address: str | None) -> Iterator[Share]:
    """What each job gets of this machine, or of a running cluster, which is joined for the block.

    Raises UserError, before anything is started or trained, where the sweep cannot run there:
    running already, a disk too small, more asked than there is, no cluster at the address.
    """
    study, config = sweep.study, sweep.study.config
    experiment = store.find_experiment(sweep.client, config.name)
    if experiment is not None:
        if other := other_live_launch(sweep.client, experiment):
            raise UserError(
                f"{study.file}: name: the sweep {config.name!r} is running already ({other}); wait "
                "for it, or stop it and run this again"
            )
        send_left(sweep, experiment)
    from raykd.cluster.launch import checkpoints  # it brings Ray

    checkpoints.check(study)
    check_disk(study.home, stored_bytes(sweep.planned(sweep.known)), study.file)
    if address is None:
        yield here(sweep)
        return
    with joined(sweep, address) as fitted:
        yield fitted


def here(sweep: Sweep) -> Share:
    """What each job gets of this machine."""
    config, file, node = sweep.study.config, sweep.study.file, this_machine()
    cluster = config.cluster
    asked = share(cluster, [node], int(node.cpus), file)
    quantization.refuse(config.teacher.bits, asked.gpus, file)  # before it is measured
    return share(cluster, [node], int(node.cpus), file, _jobs(sweep, node))


@contextmanager
def joined(sweep: Sweep, address: str) -> Iterator[Share]:
    """What each job gets of a running cluster, which is joined for the block."""
    study = sweep.study
    cluster, file = study.config.cluster, study.file
    _reach(address)
    # A joined cluster does not inherit this process's environment.
    travelling = {k: v for k, v in SETTINGS.items() if k.startswith("RAY_TRAIN")} | {NOTICES: "1"}
    with _ray({"address": address, "runtime_env": {"env_vars": travelling}}):
        import ray

        check_nodes(study.home, study.file)
        from raykd.cluster.launch.budget_meter import nodes as there

        alive, leaving = there()
        nodes = [_node(n["Resources"]) for n in alive if n not in leaving]
        slots = int(ray.cluster_resources().get("trial_slot", 0))
        found = share(cluster, grown(nodes, cluster.grows), slots, file)
        quantization.refuse(study.config.teacher.bits, found.gpus, file)
        yield found


def _jobs(sweep: Sweep, node: Node) -> int:
    """How many jobs share this machine, where the file leaves it open and there is a choice."""
    cluster, made = sweep.study.config.cluster, sweep.planned(sweep.known)
    if cluster.cpus_per_worker is not None or cluster.workers > 1 or node.gpus:
        return 1
    if len(made.cohorts) + -(-made.explore_missing // made.cohort_size) < 2:
        return 1
    return jobs_at_once(sweep.study.home, int(node.cpus), sweep.study.base.width)


def check_budget(sweep: Sweep, share: Share) -> None:
    """Raises UserError where the file's budget is too small for a cohort to get anywhere."""
    study, made = sweep.study, sweep.planned(sweep.known, share)
    cohorts = made.cohorts
    if not cohorts and study.config.explore is not None:
        cohorts = (Cohort((explore_trial(study, LayerMap((1,) * study.shape.blocks)),)),)
    if cohorts:
        first = made.seconds(cohorts[0]) / cohorts[0].trials[0].training.evaluations
        gpus = share.workers * share.gpus
        budget.check(study.config.budget, study.file, gpus, share.workers, first)


def check_disk(home: Path, wanted: int, file: str) -> None:
    """Raises UserError where the plan would not fit on the disk that `home` is on."""
    free = shutil.disk_usage(home).free
    if wanted > free:
        raise UserError(
            f"{file}: the plan needs {wanted / 2**20:,.0f} MiB under {home}, where "
            f"{free / 2**20:,.0f} MiB are free; free some, set RAYKD_HOME or cluster.storage to a "
            "larger disk, or write `tracking: {students: none}`"
        )


def this_machine() -> Node:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count()
    return Node(cores or 1, len(memory.gpus()), memory.total())


def _node(resources: Mapping[str, float]) -> Node:
    memory = int(resources.get("memory", 0))
    return Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0), memory)


def _reach(address: str) -> None:
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
    own = {
        "address": "local",
        "num_cpus": int(node.cpus),
        "resources": {"trial_slot": int(node.cpus)},
        "include_dashboard": False,
    }
    with _ray(own):
        yield


def in_a_line(error: Exception) -> str:
    """What Ray says over several lines, such as the versions of both sides that do not fit."""
    return " ".join(str(error).split())[:400]


@contextmanager
def _ray(options: dict[str, Any]) -> Iterator[None]:
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
            f"--address: Ray does not start with {options['address']!r}: {in_a_line(error)}"
        ) from error
    stop_on_sigterm()  # Ray has put its own there
    try:
        yield
    finally:
        ray.shutdown()
