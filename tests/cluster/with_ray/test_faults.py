"""A fault of each kind over one sweep; `python -m benchmarks.faults` is the long form."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import faults

from .aftermath import check
from .disturbed import KINDS, Disturbed

pytestmark = pytest.mark.long

SEED = 369  # the head goes first, as a checkpoint is written, so that no later cluster is young


def test_a_sweep_survives_a_fault_of_each_kind(
    folder: Path, undisturbed: dict[str, dict[str, float]]
) -> None:
    """Invariants 5 and 6. What was undisturbed ran in one cohort, on a Ray of its own."""
    drawn = faults.draw(len(KINDS), SEED)
    assert Counter(f.kind for f in drawn) == dict.fromkeys(KINDS, 1)
    world = Disturbed(folder, seeds=2)
    try:
        world.run(drawn)
        check(world, undisturbed)
        assert any("in halves" in row.what for row in world.rows)
    finally:
        world.end()
