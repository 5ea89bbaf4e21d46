"""What a dead job driver leaves behind in Ray: its workers' placement group.

When a driver dies, Ray ends its controller and workers within seconds, but the placement group
stays as long as the sweep lives and holds the machines. (Ray Train's own cleaner asks the
dashboard, which a local sweep does not start.) Groups have no names, but Ray knows which actor
made each. So a job's controller notes its own id before it makes a group, and a new attempt at
the job removes the groups of the controllers noted for that job, and nothing else.

This reads Ray's tables by interfaces that Ray keeps to itself; the pin in pyproject.toml and the
test of a lost driver stand guard.
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
    """Runs in a job's controller, before it makes any placement group."""

    def __init__(self, job: str) -> None:
        self._job = job

    def after_controller_start(self, train_run_context: object) -> None:
        noted = _internal_kv_get(_key(self._job)) or b""
        actor_id = ray.get_runtime_context().get_actor_id()
        _internal_kv_put(_key(self._job), noted + actor_id.encode() + b" ", overwrite=True)


def free_dead_attempts(job: str) -> int:
    """Remove the placement groups of earlier attempts at this job; how many there were."""
    controllers = set((_internal_kv_get(_key(job)) or b"").decode().split())
    if not controllers:
        return 0
    freed = _free(lambda group: group.creator_actor_id.hex() in controllers)
    forget(job)
    return freed


def free_rest() -> int:
    """Remove the placement groups of this process's launch whose maker is dead; how many there
    were. None in the end, where every lost driver had another attempt."""
    job_id = ray.get_runtime_context().get_job_id()
    return _free(lambda group: group.creator_actor_dead and group.creator_job_id.hex() == job_id)


def _free(which: Callable[[Any], bool]) -> int:
    selected = [group for group in groups() if which(group)]
    for group in selected:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
    return len(selected)


def groups() -> list[Any]:
    """The rows of Ray's table of placement groups that hold machines, or wait for some."""
    table = state._connect_and_get_accessor().get_placement_group_table()
    rows = map(gcs_pb2.PlacementGroupTableData.FromString, table)
    return [row for row in rows if row.state != gcs_pb2.PlacementGroupTableData.REMOVED]


def forget(job: str) -> None:
    """The job ended in order; its groups are gone."""
    _internal_kv_del(_key(job))
