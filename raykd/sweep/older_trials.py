"""Finished trials that the file asked for under older rules and no longer asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raykd.data.prepared import prepare
from raykd.maps.layer_map import everywhere
from raykd.planning import older_rules
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials, explore_trial
from raykd.runtime.memo import digest
from raykd.teachers import teacher

if TYPE_CHECKING:
    from raykd.config.sweep import SweepConfig
    from raykd.tracking.ledger import Record


@dataclass(frozen=True)
class Older:
    finished: int
    keys: tuple[str, ...]
    """Keys to write into the file so that these trials count."""


def older(study: Study, records: Iterable[Record]) -> tuple[Older, ...]:
    """Count the finished trials of older rules, by the keys that would make them count.

    Trials are matched by family, because a search's best maps are unknown until explore is
    finished.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    done = Counter(
        (r.rules, r.family)
        for r in records
        if r.status == "finished" and r.rules < older_rules.RULES
    )
    for rules in sorted({rules for rules, _ in done}):
        if rewritten := older_rules.before(study.config, rules):
            config, keys = rewritten
            families = _families(_under(study, config)) - _families(study)
            counts[keys] += sum(done[rules, family] for family in families)
    return tuple(Older(count, keys) for keys, count in counts.items() if count)


def _under(study: Study, config: SweepConfig) -> Study:
    prepared, task = study.prepared, config.task
    if task != study.config.task:
        prepared = prepare(task, study.home, study.file, config.labels)
    name = teacher.fingerprint(config.teacher, study.base, prepared, task)
    data = digest([prepared.fingerprint, study.base.fingerprint, task.reading])
    return replace(study, config=config, prepared=prepared, teacher=name, data=data)


def _families(study: Study) -> set[str]:
    families = {t.family for t in confirm_trials(study)}
    if study.config.explore is not None:
        families.add(explore_trial(study, everywhere(study.depth, 1)).family)
    return families
