"""Fits a sweep's request to the resources of a cluster: how many cohorts run at once, or an
error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raykd.config.cluster import Cluster, Growth
from raykd.errors import UserError
from raykd.runtime import memory, processors


@dataclass(frozen=True)
class Node:
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Share:
    """The workers of one cohort, the resources of each worker, and how many cohorts run at once."""

    workers: int
    cpus: int
    gpus: float
    at_once: int


def share(cluster: Cluster, nodes: Sequence[Node], slots: int, file: str, jobs: int = 1) -> Share:
    """Fit the file's request onto the nodes. Raises UserError where no cohort could ever start.

    Without `gpus_per_worker`, a worker gets one GPU where there are any. Without `cpus_per_worker`,
    it gets an equal part of its node's cores, divided by the number of `jobs` that share them.
    """
    most_gpus = max((n.gpus for n in nodes), default=0)
    gpus = cluster.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if most_gpus else 0.0
    if gpus > most_gpus:
        raise UserError(
            f"{file}: cluster.gpus_per_worker: {gpus:g} asked, the largest node has "
            f"{most_gpus:g}; write at most {most_gpus:g}"
        )
    cpus = cluster.cpus_per_worker or max(1, _cpu_part(nodes, gpus, cluster.workers) // jobs)
    places = sum(_places(n, cpus, gpus) for n in nodes)
    if places < cluster.workers:
        have = ", ".join(f"{n.cpus:g} CPU" + (f" {n.gpus:g} GPU" if n.gpus else "") for n in nodes)
        grows = "; where its autoscaler brings more, say so in cluster.grows"
        raise UserError(
            f"{file}: cluster.workers: {cluster.workers} workers of {cpus} CPU"
            + (f" and {gpus:g} GPU" if gpus else "")
            + f" asked, the cluster ({have}) has room for {places}; write at most {max(1, places)}"
            + (" workers, or fewer cpus_per_worker" if cluster.cpus_per_worker else "")
            + ("" if cluster.grows else grows)
        )
    if slots < 1:
        raise UserError(
            f"{file}: the cluster has no `trial_slot`, which cohort drivers take; start its head "
            "with `ray start --head --resources='{\"trial_slot\": 8}'`"
        )
    return Share(cluster.workers, cpus, gpus, max(1, min(slots, places // cluster.workers)))


def grown(nodes: Sequence[Node], growth: Growth | None) -> list[Node]:
    """Return the nodes that are up and those that the autoscaler may add."""
    if growth is None:
        return list(nodes)
    coming = Node(growth.cpus, growth.gpus)
    up = sum((n.cpus, n.gpus) == (coming.cpus, coming.gpus) for n in nodes)
    return [*nodes, *[coming] * (growth.nodes - up)]


def _cpu_part(nodes: Sequence[Node], gpus: float, workers: int) -> int:
    if gpus:
        parts = [n.cpus * gpus / n.gpus for n in nodes if n.gpus]
        return max(1, int(min(parts)))
    cores = max((n.cpus for n in nodes), default=1)
    return max(1, int(cores // max(1, workers / len(nodes or [1]))))


def _places(node: Node, cpus: int, gpus: float) -> int:
    by_cpu = int(node.cpus // cpus)
    if not gpus:
        return by_cpu
    if gpus >= 1:
        return min(by_cpu, int(node.gpus // gpus))
    # A worker's fraction is of one GPU. Ray counts in ten-thousandths, so 0.1 fits ten times.
    return min(by_cpu, int(node.gpus) * (10_000 // round(10_000 * gpus)))


def this_machine() -> Node:
    return Node(processors.count(), len(memory.gpus()))
