"""The confirm trials of a sweep as scores, and the last completed interim analysis."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raykd.config.trial import TrialSpec
from raykd.planning.plan import by_strategy
from raykd.planning.study import Study
from raykd.sweep.records import current as current_records
from raykd.teachers.teacher import stored
from raykd.tracking.ledger import Record

if TYPE_CHECKING:  # keeps the imports of a plan light
    from mlflow import MlflowClient

    from raykd.analysis.scores.scores import Scores
    from raykd.analysis.stats.sequential import Look
    from raykd.planning.plan import Plan
    from raykd.tracking.artifacts import StatedSeeds

OVER = ("finished", "failed")


def task_name(data: str) -> str:
    """Return the name that tables show for a data set: a file's name without its folder."""
    return Path(data).name if Path(data).suffix else data


def scores(
    study: Study,
    client: MlflowClient,
    current: Iterable[Record],
    plan: Plan,
    seeds: Collection[int],
    examples: int | None = None,
) -> Scores:
    """Return the scores of the `current` trials under these seeds, with the correctness of each
    test example.

    Only the first `examples` trials get per-example results, for a caller that needs just their
    number.
    """
    from raykd.analysis.scores.from_runs import from_trials
    from raykd.analysis.scores.loss_weights import label
    from raykd.tracking.artifacts import correct

    config = study.config
    planned = {
        (str(t.init), str(t.shape), t.strategy, t.seed,
         label(t.loss.hidden) if t.layer_map.pairs() else "")
        for t in plan.confirm if t.seed in seeds
    }  # fmt: skip
    if plan.best_missing and config.confirm is not None:
        arms = {(init, shape, seed) for init, shape, _, seed, _ in planned}
        best = [f"best_{rank}" for rank in range(1, config.confirm.best + 1)]
        weights = [label(w) for w in study.hidden_weights]
        planned |= {(*arm[:2], name, arm[2], w) for arm in arms for name in best for w in weights}
    teacher = stored(study.home, study.teacher)
    records = [r for r in current if r.phase != "confirm" or r.seed in seeds]
    finished = [r for r in records if r.phase == "confirm" and r.status == "finished"]
    return from_trials(
        records,
        task=task_name(config.task.named),
        metric=config.task.metric,
        source=config.name,
        planned=sorted(planned),
        controls=config.confirm.controls if config.confirm else (),
        correct=correct(client, finished[:examples]),
        majority=None if teacher is None else teacher.test_majority,
        endpoint_margins=config.endpoint_margins.stated,
        sign=config.task.scored_by.sign,
        percent=config.task.scored_by.percent,
    )


def last_look(
    study: Study, client: MlflowClient, records: Iterable[Record], plan: Plan
) -> Look | None:
    """Return the last look (interim analysis) whose trials have all ended, with its reason to stop
    if it has one; None before the first.

    The result depends only on the ledger and the file, so every launch comes to the same one. A
    failed trial has ended; its seed is missing from its pairs.
    """
    config = study.config
    confirm = config.confirm
    if confirm is None or confirm.looks is None or plan.best_missing:
        return None
    from raykd.analysis.stats.sequential import Look  # imports scipy, which takes a second

    current = current_records(study, records, plan)
    ended = {r.trial for r in current if r.status in OVER}
    number = _complete(plan.stages(plan.confirm), ended)
    if not number:
        return None
    look = Look.of(number, confirm.looks, config.alpha)
    seeds = frozenset(confirm.seed_list[: look.seeds])
    finished = [
        r for r in current if r.phase == "confirm" and r.status == "finished" and r.seed in seeds
    ]
    if not look.ahead or len({r.strategy for r in finished if not r.control} - {"none"}) < 2:
        return look
    from raykd.analysis.verdict.judge import judge

    seed_scores = scores(study, client, current, plan, seeds, 1)
    return judge(seed_scores, config.margin, config.alpha, look).look


def stages(
    study: Study, client: MlflowClient, experiment: str | None, current: Iterable[Record]
) -> tuple[tuple[tuple[int, ...], ...], bool]:
    """Return the confirm seeds in stages, and whether the first launch stated an extension; before
    it, whether the file does."""
    from raykd.tracking.artifacts import stated_seeds

    confirm = study.config.confirm
    if confirm is None:
        return (), False
    stated = () if experiment is None else stated_seeds(client, experiment)
    confirmed = [r for r in current if r.phase == "confirm"]
    extend = stated[0].extend if stated else confirm.extend
    return judged_stages(confirm.seed_list, stated, confirmed), extend


def judged_stages(
    seeds: Sequence[int], stated: Iterable[StatedSeeds], records: Iterable[Record]
) -> tuple[tuple[int, ...], ...]:
    """Return the confirm seeds in stages: those of each final verdict, and those added after it.

    A verdict was final if a launch stated its seeds, and all of them had been run when a launch
    first stated more: the earlier launch had come to its end, or all their trials had ended.
    `stated`: the oldest launch first. `records`: the confirm trials that the file asks for now.
    """
    launches, records = list(stated), list(records)
    stages: list[tuple[int, ...]] = []
    judged: set[int] = set()
    for i, launch in enumerate(launches):
        both = judged | set(launch.seeds)
        later = [other.start for other in launches[i + 1 :] if not both.issuperset(other.seeds)]
        if not judged < both < set(seeds) or not later:
            continue
        before = [r for r in records if r.seed in both - judged and r.start < later[0]]
        ran = {r.seed for r in before} == both - judged
        if ran and (launch.complete or all(r.end and r.end <= later[0] for r in before)):
            stages.append(tuple(s for s in seeds if s in both - judged))
            judged = both
    return (*stages, tuple(s for s in seeds if s not in judged))


def _complete(stages: Iterable[Iterable[TrialSpec]], ended: Collection[str]) -> int:
    """Return how many stages, from the first one on, have only trials that have ended."""
    count = 0
    for stage in stages:
        if any(t.id not in ended for t in stage):
            break
        count += 1
    return count


def stopped(look: Look, plan: Plan) -> str:
    """Return a sentence: which look ended confirm, why, and which trials are not run."""
    return (
        f"confirm stopped at interim analysis {look.number} of {len(look.looks)} ({look.seeds} of "
        f"{look.looks[-1]} seeds): {look.stop}; "
        f"not run: {by_strategy(plan.called_off) or 'nothing'}"
    )
