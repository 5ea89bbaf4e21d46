"""What a dead cohort driver leaves behind in Ray: its workers' placement group.

Ray removes a placement group when its creator *and* the job are gone; the job is the sweep, which
goes on. (Ray Train's own cleaner asks the dashboard, which a local sweep does not start.) So each
cohort notes its group in Ray's key-value store, and a new attempt at the cohort frees that group
and nothing else.
"""

from __future__ import annotations

import ray
from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_get,
    _internal_kv_put,
)
from ray.util.placement_group import PlacementGroup, remove_placement_group


def _key(cohort: str) -> str:
    return f"raykd:placement_group:{cohort}"


def note_placement_group(cohort: str) -> None:
    """Called by a cohort's worker: the group it runs in belongs to this cohort."""
    group = ray.util.get_current_placement_group()
    if group is not None:
        _internal_kv_put(_key(cohort), group.id.hex(), overwrite=True)


def free_dead_attempt(cohort: str) -> bool:
    """Remove the placement group of an earlier attempt at this cohort; whether there was one."""
    noted = _internal_kv_get(_key(cohort))
    if not noted:
        return False
    group_id = ray.PlacementGroupID.from_hex(noted.decode())
    _internal_kv_del(_key(cohort))
    known = ray.util.placement_group_table().get(group_id.hex())
    if known is None or known["state"] == "REMOVED":
        return False
    remove_placement_group(PlacementGroup(group_id))
    return True


def forget(cohort: str) -> None:
    """The cohort ended in order; its group is gone."""
    _internal_kv_del(_key(cohort))
