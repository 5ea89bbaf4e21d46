"""Which kind of node Ray's autoscaler takes: what is to be had, before all that Ray weighs itself.

Ray's own choice forgets that spot nodes of a kind were refused a minute ago, and asks for them
again and again. cluster.yaml starts the head with this in its place, by Ray's
RAY_AUTOSCALER_UTILIZATION_SCORER. Where two kinds are alike, Ray takes the last in the alphabet.
"""

from __future__ import annotations

from typing import Any

from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer


def scorer(
    node_resources: dict[str, float],
    resources: list[dict[str, float]],
    node_type: str,
    *,
    node_availability_summary: Any,
) -> tuple[Any, ...] | None:
    """Higher is better; None where none of the wanted `resources` fits a node of this type."""
    score = _default_utilization_scorer(
        node_resources, resources, node_type, node_availability_summary=node_availability_summary
    )
    if score is None:
        return None
    known = node_availability_summary.node_availabilities.get(node_type)
    return (known is None or known.is_available, *score)
