"""Rules that decide a trial's id, counted: a default that changes gives the same file new ids."""

from __future__ import annotations

from raykd.config.sweep import SweepConfig

RULES = 2
"""Tagged on every trial's run (`raykd.rules`); a run without the tag is of rules 1.

1: raykd before this tag. 2: `teacher.epochs` is `auto` by default, and was `EPOCHS_BEFORE`.
"""
EPOCHS_BEFORE = 2.0


def before(config: SweepConfig) -> tuple[SweepConfig, str] | None:
    """What the file meant under the rules before, and the key that says so now; None where it means
    the same."""
    teacher = config.teacher
    if teacher.epochs != "auto" or not teacher.fine_tune:
        return None
    old = teacher.model_copy(update={"epochs": EPOCHS_BEFORE})
    return config.model_copy(update={"teacher": old}), f"teacher.epochs: {EPOCHS_BEFORE:g}"
