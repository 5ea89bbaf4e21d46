"""Finished trials that the file asked for under older rules, and no longer does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raykd.config import older_rules
from raykd.maps.layer_map import everywhere
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials, explore_trial
from raykd.teachers import teacher

if TYPE_CHECKING:
    from raykd.config.sweep import SweepConfig
    from raykd.tracking.ledger import Record


@dataclass(frozen=True)
class Older:
    finished: int
    key: str
    """What the file states to have them counted."""


def older(study: Study, records: Iterable[Record]) -> Older | None:
    """How many of these trials; None without any. They are told by their family: which maps a
    search found best is not known before it is through."""
    done = [r for r in records if r.status == "finished" and r.rules < older_rules.RULES]
    meant = older_rules.before(study.config) if done else None
    if meant is None:
        return None
    config, key = meant
    families = _families(_under(study, config))
    count = sum(r.family in families for r in done)
    return Older(count, key) if count else None


def _under(study: Study, config: SweepConfig) -> Study:
    task = config.task
    name = teacher.fingerprint(
        config.teacher, study.base, study.prepared, task.reading, task.metric
    )
    return replace(study, config=config, teacher=name)


def _families(study: Study) -> set[str]:
    found = {t.family for t in confirm_trials(study)}
    if study.config.explore is not None:
        found.add(explore_trial(study, everywhere(study.depth, 1)).family)
    return found
