"""Selects the ledger's records that count for a study, and reads the state of its search."""

from __future__ import annotations

from collections.abc import Iterable

from raykd.maps.layer_map import LayerMap, everywhere
from raykd.planning.plan import Explored, Plan
from raykd.planning.study import Study
from raykd.planning.trials import explore_trial
from raykd.search.proposer import Tried
from raykd.tracking.ledger import Record


def explored(study: Study, records: Iterable[Record]) -> Explored:
    """Return the explored maps of this search: same data, teacher, student and training."""
    if study.config.explore is None:
        return Explored({})
    family = explore_family(study)
    tried: dict[LayerMap, Tried] = {}
    cohorts: dict[str, list[LayerMap]] = {}
    for record in records:
        if record.phase != "explore" or record.family != family:
            continue
        bare = LayerMap.parse(record.map).bare
        cohorts.setdefault(record.cohort, []).append(bare)
        if result := outcome(study, record):
            tried[bare] = result
    cut_short = tuple(tuple(maps) for maps in cohorts.values() if any(m not in tried for m in maps))
    return Explored(tried, cut_short)


def outcome(study: Study, record: Record) -> Tried | None:
    """Return the result of an explored trial; None while it has not ended."""
    metric = study.config.task.scored_by
    if record.status == "finished":
        return Tried(metric.sign * record.metrics[f"best_select_{metric.name}"])
    if record.status == "pruned":
        score = metric.sign * record.metrics["pruned_score"]
        return Tried(score, int(record.metrics["pruned_step"]))
    return Tried(None) if record.status == "failed" else None


def current(study: Study, records: Iterable[Record], plan: Plan) -> list[Record]:
    """Return the trials that the sweep file asks for now. Other trials of the sweep's name stay in
    the store and do not count. Which maps are the best explored ones is open until explore has
    finished."""
    wanted = {t.id for t in plan.confirm}
    family = explore_family(study)
    return [
        r
        for r in records
        if (r.phase == "explore" and r.family == family)
        or (r.phase == "confirm" and r.trial in wanted)
        or (plan.best_missing and r.strategy.startswith("best_"))
    ]


def explore_family(study: Study) -> str | None:
    """Return the family of the file's explore trials; None without `explore`."""
    if study.config.explore is None:
        return None
    return explore_trial(study, everywhere(study.depth, 1)).family
