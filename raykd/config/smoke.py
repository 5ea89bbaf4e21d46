"""A sweep cut down to its smallest, to try the whole path in a minute."""

from __future__ import annotations

from typing import Any

from raykd.config.sweep import SweepConfig

SMOKE = {"steps": 4, "rows": 64, "seeds": 1, "maps": 2}


def smoke_config(config: SweepConfig) -> SweepConfig:
    """The same path with minimal steps, under a name of its own."""
    steps, rows = SMOKE["steps"], SMOKE["rows"]
    update: dict[str, Any] = {
        "name": f"{config.name}-smoke",
        "task": config.task.model_copy(update={"rows": rows}),
        "teacher": config.teacher.model_copy(update={"epochs": 0.5, "allow_weak": True}),
        "training": config.training.model_copy(
            update={"steps": steps, "epochs": None, "evaluations": 1}
        ),
    }
    if config.explore:
        maps = min(config.explore.maps, SMOKE["maps"])
        update["explore"] = config.explore.model_copy(update={"maps": maps})
    if config.confirm:
        seeds = config.confirm.seed_list[: SMOKE["seeds"]]
        update["confirm"] = config.confirm.model_copy(update={"seeds": seeds, "looks": None})
    return config.model_copy(update=update)
