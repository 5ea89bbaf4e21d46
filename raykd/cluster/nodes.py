"""The nodes of a running Ray cluster: up, launching, and draining."""

from __future__ import annotations

import json
from typing import Any

import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.state import state
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.experimental.internal_kv import _internal_kv_get


def machines() -> dict[str, Any]:
    """Return the numbers of nodes that are up, launching and draining, and the used and total CPUs
    and GPUs."""
    total, free = ray.cluster_resources(), ray.available_resources()
    alive, leaving = nodes()
    summary: dict[str, Any] = {"nodes": len(alive) - len(leaving)}
    if on_their_way := coming():
        summary["coming"] = on_their_way
    if leaving:
        summary["going"] = len(leaving)
    for name in ("CPU", "GPU"):
        if total.get(name):
            summary[f"{name.lower()}s"] = [total[name] - free.get(name, 0.0), total[name]]
    return summary


def nodes() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return Ray's rows of the nodes that are up, and the rows of those that Ray drains: they take
    no new work and are removed when their time is up."""
    alive = [n for n in ray.nodes() if n["Alive"]]
    drained = state.get_draining_nodes()
    return alive, [n for n in alive if n["NodeID"] in drained]


def coming() -> int:
    """Return the number of nodes that Ray's autoscaler, v1 or v2, has requested and that are not up
    yet."""
    if is_autoscaler_v2():
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        launching = sum(launch.count for launch in status.pending_launches)
        return int(launching + len(status.pending_nodes))
    report = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")
    autoscaler = report.get("autoscaler_report", {"pending_launches": {}, "pending_nodes": []})
    return int(sum(autoscaler["pending_launches"].values()) + len(autoscaler["pending_nodes"]))
