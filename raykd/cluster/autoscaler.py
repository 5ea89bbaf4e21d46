"""How Ray's autoscaler chooses nodes, where the head was started as in cluster.yaml, by Ray's
RAY_AUTOSCALER_UTILIZATION_SCORER: this module is then loaded into the autoscaler's process.

What is to be had goes before all that Ray weighs itself: Ray's own choice forgets that spot nodes
of a kind were refused a minute ago, and asks for them again and again. Where two kinds are alike,
Ray takes the last in the alphabet.

And `max_workers` holds. Ray looks at the nodes that there are, and a while later at those that it
is launching; what is launched in between is in neither, and it asks for as many once more. Seen:
five nodes where three were allowed, until a later look took two of them away.
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
    """Higher is better; None where none of the wanted `resources` fits a node of this type."""
    score = _default_utilization_scorer(
        node_resources, resources, node_type, node_availability_summary=node_availability_summary
    )
    if score is None:
        return None
    availability = node_availability_summary.node_availabilities.get(node_type)
    return (availability is None or availability.is_available, *score)


class Launching:
    """Ray's count of the nodes being launched, by type, with those that were so when a look began:
    a node may then be counted twice in one look, and in none never."""

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
    """From here on, a look of Ray's autoscaler begins with what it is launching."""
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
