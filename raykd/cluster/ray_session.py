"""The Ray of a sweep: a local one on this machine, or a running cluster that the sweep joins."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from raykd.cluster.cores import jobs_at_once
from raykd.cluster.ray_init import NOTICES, SETTINGS, check_address, ray_started
from raykd.cluster.shared_storage import CodeIsMissing, check_nodes
from raykd.config import budget
from raykd.config.cohort import Cohort
from raykd.errors import UserError
from raykd.maps.layer_map import LayerMap
from raykd.models import quantization
from raykd.planning.plan import stored_bytes
from raykd.planning.study import Study
from raykd.planning.trials import explore_trial
from raykd.sweep.resources import Node, Share, grown, share, this_machine
from raykd.sweep.state import SweepState
from raykd.sweep.teacher import MakeTeacher, fine_tune_here
from raykd.tracking.delivery import send_left
from raykd.tracking.launch import other_live_launch

PACKAGE = Path(__file__).parents[1]  # raykd's own code


@contextmanager
def machine(state: SweepState, address: str | None) -> Iterator[SweepState]:
    """Yield the sweep planned for this machine, or for a running cluster, which is joined for the
    block.

    Raises UserError, before anything is started or trained, where the sweep cannot run: it is
    running already, the disk is too small, the request exceeds the resources, or there is no
    cluster at the address.
    """
    study, ledger = state.study, state.ledger
    experiment = ledger.find_experiment()
    if experiment is not None:
        if other := other_live_launch(ledger.client, experiment):
            raise UserError(
                f"{study.file}: name: the sweep {ledger.name!r} is running already ({other}); wait "
                "for it, or stop it and run this again"
            )
        send_left(ledger.destination())
    from raykd.cluster import checkpoint_store  # imports Ray

    checkpoint_store.check(study)
    check_disk(study.home, stored_bytes(state.plan), study.file)
    if address is None:
        yield state.on(here(state))
        return
    with joined(study, address) as share:
        yield state.on(share)


def here(state: SweepState) -> Share:
    """Return one job's share of this machine."""
    config, file, node = state.study.config, state.study.file, this_machine()
    cluster = config.cluster
    requested = share(cluster, [node], int(node.cpus), file)
    quantization.refuse(config.teacher.bits, requested.gpus, file)  # before the cores are measured
    return share(cluster, [node], int(node.cpus), file, _jobs(state, node))


@contextmanager
def joined(study: Study, address: str) -> Iterator[Share]:
    """Yield one job's share of a running cluster, which is joined for the block."""
    cluster, file = study.config.cluster, study.file
    check_address(address)
    with _checked(study, address):
        import ray

        from raykd.cluster.nodes import nodes as cluster_nodes

        alive, leaving = cluster_nodes()
        nodes = [_node(n["Resources"]) for n in alive if n not in leaving]
        slots = int(ray.cluster_resources().get("trial_slot", 0))
        fitted = share(cluster, grown(nodes, cluster.grows), slots, file)
        quantization.refuse(study.config.teacher.bits, fitted.gpus, file)
        yield fitted


@contextmanager
def _checked(study: Study, address: str) -> Iterator[None]:
    """Join a cluster whose nodes can run the sweep, for the block. Where a node lacks raykd or has
    another version, this one's code is shipped with all jobs; plug-ins always are."""
    # A joined cluster does not inherit this process's environment.
    env_vars = {k: v for k, v in SETTINGS.items() if k.startswith("RAY_TRAIN")} | {NOTICES: "1"}
    for code in ({}, {"py_modules": [str(PACKAGE)]}):
        with ray_started({"address": address, "runtime_env": {"env_vars": env_vars, **code}}):
            try:
                check_nodes(study.home, study.file)
            except CodeIsMissing:
                if code:
                    raise
                continue
            yield
            return


def teacher_maker(nodes: Share | None) -> MakeTeacher:
    """Return the function that makes the teacher: on a node of the joined cluster, with the
    resources of one job's worker, or in this process if none was joined."""
    if nodes is None:
        return fine_tune_here
    from raykd.cluster.teacher import on_a_node  # imports Ray and torch

    return lambda study, hooks: on_a_node(study, nodes, hooks)


def _jobs(state: SweepState, node: Node) -> int:
    """Return how many jobs share this machine: 1, unless the file leaves it open, there is no GPU,
    and at least two cohorts are missing."""
    study, plan = state.study, state.plan
    cluster = study.config.cluster
    if cluster.cpus_per_worker is not None or cluster.workers > 1 or node.gpus:
        return 1
    if len(plan.cohorts) + -(-plan.explore_missing // plan.cohort_size) < 2:
        return 1
    return jobs_at_once(study.home, int(node.cpus), study.base.width)


def check_budget(state: SweepState) -> None:
    """Raise UserError where the file's budget does not reach the first evaluation of a cohort."""
    study, plan, share = state.study, state.plan, state.share
    cohorts = plan.cohorts
    if not cohorts and study.config.explore is not None:
        cohorts = (Cohort((explore_trial(study, LayerMap((1,) * study.shape.blocks)),)),)
    if cohorts:
        first = plan.seconds(cohorts[0]) / cohorts[0].trials[0].training.evaluations
        gpus = share.workers * share.gpus
        budget.check(study.config.budget, study.file, gpus, share.workers, first)


def check_disk(home: Path, wanted: int, file: str) -> None:
    """Raise UserError where the plan does not fit on the disk of `home`."""
    free = shutil.disk_usage(home).free
    if wanted > free:
        raise UserError(
            f"{file}: the plan needs {wanted / 2**20:,.0f} MiB under {home}, where "
            f"{free / 2**20:,.0f} MiB are free; free some, set RAYKD_HOME or cluster.storage to a "
            "larger disk, or write `tracking: {students: none}`"
        )


def _node(resources: Mapping[str, float]) -> Node:
    return Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0))
