"""Versions of the rules that decide trial ids: a changed default gives the same file new ids."""

from __future__ import annotations

from raykd.config.sweep import SweepConfig

RULES = 4
"""Tag of the run of every trial (`raykd.rules`); a run without the tag has version 1.

1: raykd before this tag. 2: `teacher.epochs` is `auto` by default instead of `EPOCHS_BEFORE`.
3: `training.buffers` and `teacher.buffers` are `fp32` by default instead of the weights' dtype.
4: `teacher.identity` is `metric` by default instead of `recipe`, and `task.rows_by` is `class`
instead of `hash`.
"""
EPOCHS_BEFORE = 2.0


def before(config: SweepConfig, rules: int) -> tuple[SweepConfig, tuple[str, ...]] | None:
    """Return the meaning of a file under an older version of the rules, and the keys that state it
    today; None if the meaning did not change."""
    task, teacher, training = config.task, config.teacher, config.training
    keys: list[str] = []
    if rules < 2 and teacher.epochs == "auto" and teacher.fine_tune:
        teacher = teacher.model_copy(update={"epochs": EPOCHS_BEFORE})
        keys.append(f"teacher.epochs: {EPOCHS_BEFORE:g}")
    if rules < 3 and teacher.own_buffers and teacher.fine_tune:
        teacher = teacher.model_copy(update={"buffers": "bf16"})
        keys.append("teacher.buffers: bf16")
    if rules < 3 and training.own_buffers:
        training = training.model_copy(update={"buffers": "bf16"})
        keys.append("training.buffers: bf16")
    if rules < 4 and teacher.names_metric(task):
        teacher = teacher.model_copy(update={"identity": "recipe"})
        keys.append("teacher.identity: recipe")
    if rules < 4 and task.rows is not None and task.rows_by == "class" and task.of_kind.classes:
        task = task.model_copy(update={"rows_by": "hash"})
        keys.append("task.rows_by: hash")
    if not keys:
        return None
    changed = {"task": task, "teacher": teacher, "training": training}
    return config.model_copy(update=changed), tuple(keys)
