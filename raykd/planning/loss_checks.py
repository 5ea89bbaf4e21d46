"""Whether the hidden losses that a sweep file asks for can be read of its teacher and student."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raykd.config import sweep
from raykd.maps import activations
from raykd.maps.published import own_loss
from raykd.teachers import model_facts

if TYPE_CHECKING:
    from raykd.config.sweep import SweepConfig
    from raykd.config.trial import Shape
    from raykd.teachers.teacher import Base

TOO_SHALLOW = (
    "leaves the last blocks to the logits, so it needs a student and a teacher of two blocks or "
    "more; take another"
)


def problems(config: SweepConfig, base: Base, shape: Shape, home: Path, file: str) -> list[str]:
    """A line for each loss that looks at what these models have not, or have otherwise."""
    kind = config.losses.kind
    asked: dict[str, str] = {"losses.kind": kind}
    strategies = config.confirm.strategies if config.confirm else ()
    for index, strategy in enumerate(strategies):
        if own := own_loss(strategy.strategy):
            asked[f"confirm.strategies.{index}.strategy"] = own
    found = [
        f"{file}: {key}: {problem}"
        for key, own in asked.items()
        if own in activations.OF_ENCODERS
        if (problem := model_facts.unreadable(base, shape, own, home))
    ]
    controls = [s.label for s in strategies if s.control]
    if kind in activations.INSIDE and controls:
        found.append(
            f"{file}: losses.kind: {kind} compares more than states, and a control "
            f"({controls[0]}) has no other targets; write another kind, or leave the controls out"
        )
    # Once more: what the command line sets comes after the file was read.
    return found + [f"{file}: {told}" for told in sweep.conflicts(config)]
