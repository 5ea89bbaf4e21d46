"""Finished trials that the file asked for under older rules, and no longer does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raykd import rules
from raykd import teacher as teachers
from raykd.layermap import everywhere
from raykd.study import Study, confirm_trials, explore_trial

if TYPE_CHECKING:
    from raykd.cluster.sweep import Sweep
    from raykd.config import SweepConfig
    from raykd.tracking.ledger import Record


@dataclass(frozen=True)
class Older:
    finished: int
    key: str
    """What the file states to have them counted."""


def older(sweep: Sweep, outdated: Iterable[Record]) -> Older | None:
    """How many of these trials; None without any. A search's best maps are told by their family,
    which is that of the arms beside them."""
    done = [r for r in outdated if r.status == "finished" and r.rules < rules.RULES]
    meant = rules.before(sweep.study.config) if done else None
    if meant is None:
        return None
    config, key = meant
    families = _families(_under(sweep.study, config))
    count = sum(r.family in families for r in done)
    return Older(count, key) if count else None


def _under(study: Study, config: SweepConfig) -> Study:
    task = config.task
    name = teachers.fingerprint(
        config.teacher, study.base, study.prepared, task.reading, task.metric
    )
    return replace(study, config=config, teacher=name)


def _families(study: Study) -> set[str]:
    found = {t.family for t in confirm_trials(study)}
    if study.config.explore is not None:
        found.add(explore_trial(study, everywhere(study.depth, 1)).family)
    return found
