"""The nodes of a running Ray cluster: up, on their way, and about to go."""

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
    """Nodes that are up, on their way and about to go, and how many of their CPUs and GPUs are
    taken."""
    there, free = ray.cluster_resources(), ray.available_resources()
    alive, leaving = nodes()
    found: dict[str, Any] = {"nodes": len(alive) - len(leaving)}
    if on_their_way := coming():
        found["coming"] = on_their_way
    if leaving:
        found["going"] = len(leaving)
    for name in ("CPU", "GPU"):
        if there.get(name):
            found[f"{name.lower()}s"] = [there[name] - free.get(name, 0.0), there[name]]
    return found


def nodes() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Ray's rows of the nodes that are up, and those of them that Ray drains: they take no new
    work, and are gone when their time is up."""
    alive = [n for n in ray.nodes() if n["Alive"]]
    drained = state.get_draining_nodes()
    return alive, [n for n in alive if n["NodeID"] in drained]


def coming() -> int:
    """Nodes that Ray's autoscaler, of either kind, has asked for and that are not up yet."""
    if is_autoscaler_v2():
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        asked = sum(each.count for each in status.pending_launches)
        return int(asked + len(status.pending_nodes))
    told = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")
    report = told.get("autoscaler_report", {"pending_launches": {}, "pending_nodes": []})
    return int(sum(report["pending_launches"].values()) + len(report["pending_nodes"]))
