"""What a sweep file may ask for that a live teacher alone can give, or a batch in one piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from raykd.maps.published import PADDED

if TYPE_CHECKING:
    from raykd.config.sweep import SweepConfig


def needs_live(config: SweepConfig) -> str | None:
    """Why no store can feed the students; None where one can."""
    if config.teacher.dropout:
        return "the teacher's dropout is on (teacher.dropout), so it says something else each time"
    if config.losses.kind in PADDED:
        return f"{config.losses.kind} (losses.kind) looks at padding, which is not stored"
    return None


def problems(config: SweepConfig) -> Iterator[str]:
    """Keys that do not go together, each with what is wrong and what to write."""
    if config.states.source == "cached" and (why := needs_live(config)):
        yield f"states.source: cached, and {why}; write live"
    kind = config.losses.kind
    if kind not in PADDED:
        return
    workers, micro = config.cluster.workers, config.cluster.micro_batch
    if workers > 1:
        yield f"cluster.workers: {workers}, and {kind} is of a whole padded batch; write 1"
    if micro is not None:
        yield f"cluster.micro_batch: {micro}, and {kind} is of a whole padded batch; leave it out"
    controls = [s.label for s in config.confirm.strategies if s.control] if config.confirm else []
    if controls:
        yield (
            f"losses.kind: {kind} looks at padding, and a control ({controls[0]}) has targets for "
            "tokens alone; write another kind, or leave the controls out"
        )
