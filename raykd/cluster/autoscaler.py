"""Node selection of Ray's autoscaler, if the head was started as in cluster.yaml, with Ray's
RAY_AUTOSCALER_UTILIZATION_SCORER: the autoscaler's process then loads this module.

Available node types are preferred before Ray's own criteria apply. Ray's own choice forgets that
spot nodes of a type were refused a minute ago, and requests them again and again. If two types have
equal scores, Ray takes the last in alphabetical order.

The module also enforces `max_workers`. Ray counts the nodes that are up, and later the nodes that
it is launching. A node whose launch completes in between is in neither count, and Ray requests it
once more: five nodes were seen where three were allowed, until a later update removed two of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import Any

from ray.autoscaler._private.autoscaler import StandardAutoscaler
from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer


def scorer(
    node_resources: dict[str, float],
    resources: list[dict[str, float]],
    node_type: str,
    *,
    node_availability_summary: Any,
) -> tuple[Any, ...] | None:
    """Return a score, higher is better; None where none of the requested `resources` fits a node of
    this type."""
    score = _default_utilization_scorer(
        node_resources, resources, node_type, node_availability_summary=node_availability_summary
    )
    if score is None:
        return None
    availability = node_availability_summary.node_availabilities.get(node_type)
    return (availability is None or availability.is_available, *score)


class Launching:
    """Ray's count of launching nodes by type, including those that were launching when an update
    began. A node may then be counted twice in one update, but never in none."""

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._before: Mapping[str, int] = counter.breakdown()

    def breakdown(self) -> dict[str, int]:
        now: Mapping[str, int] = self._counter.breakdown()
        types = self._before.keys() | now.keys()
        return {t: max(self._before.get(t, 0), now.get(t, 0)) for t in types}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._counter, name)


def hold_limit(autoscaler: Any = StandardAutoscaler) -> None:
    """Patch Ray's autoscaler so that each update starts from the nodes that it is launching."""
    original_update = autoscaler._update

    @wraps(original_update)
    def _update(self: Any) -> None:
        counter = self.pending_launches
        self.pending_launches = Launching(counter)
        try:
            original_update(self)
        finally:
            self.pending_launches = counter

    autoscaler._update = _update


hold_limit()
