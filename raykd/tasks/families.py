"""The task families by `task.kind`."""

from __future__ import annotations

from raykd.tasks import causal_lm, classification
from raykd.tasks.family import Family

FAMILIES: dict[str, Family] = {
    "classification": classification.FAMILY,
    "causal_lm": causal_lm.FAMILY,
}
