"""Removes the placement groups that dead job drivers leave behind in Ray.

When a driver dies, Ray ends its controller and workers within seconds, but their placement group
lives as long as the sweep and holds the machines. (Ray Train's own cleaner uses the dashboard,
which a local sweep does not start.) Groups have no names, but Ray knows which actor created each.
So a job's controller records its own id before it creates a group, and a new attempt at the job
removes exactly the groups of the controllers recorded for that job.

The module reads Ray's tables through private interfaces; the pin in pyproject.toml and the test of
a lost driver guard against changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray._private.state import state
from ray.core.generated import gcs_pb2
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_put
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.util.placement_group import PlacementGroup, remove_placement_group


def _key(job: str) -> str:
    return f"raykd:controllers:{job}"


class NoteController(ControllerCallback):  # type: ignore[misc]
    """Records the id of a job's controller, before that creates any placement group."""

    def __init__(self, job: str) -> None:
        self._job = job

    def after_controller_start(self, train_run_context: object) -> None:
        noted = _internal_kv_get(_key(self._job)) or b""
        actor_id = ray.get_runtime_context().get_actor_id()
        _internal_kv_put(_key(self._job), noted + actor_id.encode() + b" ", overwrite=True)


def free_dead_attempts(job: str) -> int:
    """Remove the placement groups of earlier attempts at this job. Returns their number."""
    controllers = set((_internal_kv_get(_key(job)) or b"").decode().split())
    if not controllers:
        return 0
    freed = _free(lambda group: group.creator_actor_id.hex() in controllers)
    forget(job)
    return freed


def free_rest() -> int:
    """Remove the placement groups of this process's launch whose creator is dead. Returns their
    number, which is 0 if every lost driver had another attempt."""
    job_id = ray.get_runtime_context().get_job_id()
    return _free(lambda group: group.creator_actor_dead and group.creator_job_id.hex() == job_id)


def _free(which: Callable[[Any], bool]) -> int:
    selected = [group for group in groups() if which(group)]
    for group in selected:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
    return len(selected)


def groups() -> list[Any]:
    """Return the rows of Ray's table of placement groups that hold machines or wait for some."""
    table = state._connect_and_get_accessor().get_placement_group_table()
    rows = map(gcs_pb2.PlacementGroupTableData.FromString, table)
    return [row for row in rows if row.state != gcs_pb2.PlacementGroupTableData.REMOVED]


def forget(job: str) -> None:
    """Delete the job's record of controllers, whose groups are gone."""
    _internal_kv_del(_key(job))
