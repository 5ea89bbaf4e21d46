"""Task families by `task.kind`."""

from __future__ import annotations

from raykd.tasks import causal_lm, classification, seq2seq
from raykd.tasks.family import Family

FAMILIES: dict[str, Family] = {
    "classification": classification.FAMILY,
    "seq2seq": seq2seq.FAMILY,
    "causal_lm": causal_lm.FAMILY,
}
