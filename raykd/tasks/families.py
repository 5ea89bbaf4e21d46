"""The task families by `task.kind`."""

from __future__ import annotations

from raykd.tasks import classification
from raykd.tasks.family import Family

FAMILIES: dict[str, Family] = {"classification": classification.FAMILY}
