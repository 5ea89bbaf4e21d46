"""The confirm trials of a sweep as scores, the last completed interim analysis, and what was stated
before the results: seeds, extension, claims."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from raykd.analysis.claims.stated import StatedClaim, dated, of_config, of_launch
from raykd.config.claims import init_names
from raykd.config.explore import CopiedInit
from raykd.config.trial import TrialSpec
from raykd.errors import UserError
from raykd.planning import inits, schedules
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


@dataclass(frozen=True)
class Changed:
    """Strategies that were added after a final verdict over so many seeds, and those of it that the
    file no longer has."""

    seeds: int
    added: tuple[str, ...]
    dropped: tuple[str, ...]

    def says(self, alpha: float) -> Iterator[str]:
        """Yield a sentence without a full stop for each kind of change."""
        verdict = f"a final verdict over {self.seeds} seeds"
        if self.added:
            yield (
                f"Second judgement: {', '.join(self.added)} {_were(self.added)} added after "
                f"{verdict}, whose error rate was {alpha:.2g}; that of both judgements together is "
                f"at most {2 * alpha:.2g}"
            )
        if self.dropped:
            yield (
                f"{', '.join(self.dropped)} {_were(self.dropped)} judged in {verdict}, and the "
                "sweep file no longer has them; no error rate holds for strategies that are chosen "
                "by their scores"
            )


def _were(names: Collection[str]) -> str:
    return "were" if len(names) > 1 else "was"


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
    names = schedules.names(study)
    planned = {
        (str(t.init), str(t.shape), t.strategy, t.seed,
         label(t.loss.hidden) if t.layer_map.pairs() else "", schedule)
        for t in plan.confirm if t.seed in seeds for schedule in names.of_trial(t)
    }  # fmt: skip
    if plan.best_missing and config.confirm is not None:
        arms = {(init, shape, seed) for init, shape, _, seed, _, _ in planned}
        best = [f"best_{rank}" for rank in range(1, config.confirm.best + 1)]
        weighted = [(label(weight), name) for name, weight in schedules.hidden_weights(study)]
        planned |= {(*arm[:2], name, arm[2], *w) for arm in arms for name in best for w in weighted}
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
        schedules_of=names.of_record,
        claims=claims_of(study),
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


@dataclass(frozen=True)
class Stages:
    """Confirm's seeds as they were judged and will be. `extend`: whether the first launch stated an
    extension; before it, whether the file does. `planned`: the same once the file, as it is now, is
    launched. `changed`: strategies that differ from those of a final verdict. `claims`: those of
    the file, with the number of trials that had finished when each was first stated."""

    judged: tuple[tuple[int, ...], ...]
    planned: tuple[tuple[int, ...], ...]
    extend: bool
    changed: Changed | None
    claims: tuple[StatedClaim, ...] = ()

    def refuse_one_added(self, file: str, stages: Sequence[Sequence[int]]) -> None:
        """Raise UserError if an extension has a single seed."""
        if self.extend and len(stages) == 2 and len(stages[1]) < 2:
            raise UserError(
                f"{file}: confirm.seeds: one seed was added to the {len(stages[0])} of the first "
                f"verdict, and an extension has at least two; write {len(stages[0]) + 2}"
            )


def stages(
    study: Study, client: MlflowClient, experiment: str | None, current: Iterable[Record]
) -> Stages:
    """Return the confirm seeds in stages. `current`: the records that the file asks for now."""
    from raykd.tracking.artifacts import StatedSeeds, stated_seeds

    confirm = study.config.confirm
    if confirm is None:
        return Stages((), (), False, None)
    confirmed = [r for r in current if r.phase == "confirm"]
    # Without results there was no verdict, and a plan reads no launch.
    stated = stated_seeds(client, experiment) if experiment and confirmed else ()
    extend = stated[0].extend if stated else confirm.extend
    seeds = confirm.seed_list
    strategies = tuple(s.label for s in confirm.strategies if not s.control)
    now = StatedSeeds(seeds, extend, math.inf, False, confirm.looks or (), strategies)
    return Stages(
        judged_stages(seeds, stated, confirmed),
        judged_stages(seeds, (*stated, now), confirmed),
        extend,
        changed_strategies(strategies, stated, confirmed),
        _dated_claims(study, stated, confirmed),
    )


def judged_stages(
    seeds: Sequence[int], stated: Iterable[StatedSeeds], records: Iterable[Record]
) -> tuple[tuple[int, ...], ...]:
    """Return the confirm seeds in stages: those of each final verdict, and those added after it.

    A verdict was final if a launch stated its seeds, and all of them had been run when a launch
    first stated more: the earlier launch had come to its end, or all their trials had ended. With
    interim analyses, it was also final at the last one whose trials had ended, if a later launch
    states other analyses.
    `stated`: the oldest launch first. `records`: the confirm trials that the file asks for now.
    """
    launches, records = list(stated), list(records)
    stages: list[tuple[int, ...]] = []
    judged: set[int] = set()
    for i, launch in enumerate(launches):
        both = judged | set(launch.seeds)
        later = [
            other.start for other in launches[i + 1 :]
            if not both.issuperset(other.seeds) or (launch.looks and other.looks != launch.looks)
        ]  # fmt: skip
        if not later:
            continue
        final = _final(launch, judged, records, later[0])
        if judged < judged | final < set(seeds):
            stages.append(tuple(s for s in seeds if s in final))
            judged |= final
    return (*stages, tuple(s for s in seeds if s not in judged))


def claims_of(study: Study) -> tuple[StatedClaim, ...]:
    """Return the claims of the file, with the inits as the verdict names them."""
    label = partial(_init_label, study)
    return tuple(of_config(claim, label) for claim in study.config.claims)


def _init_label(study: Study, name: str | CopiedInit) -> str:
    """Return an init as the verdict names it; one that the file does not have now, as stated."""
    known = init_names(study.config.confirm) if study.config.confirm else {}
    return str(inits.resolved(study, known[name])) if name in known else repr(name)


def _dated_claims(
    study: Study, stated: Iterable[StatedSeeds], confirmed: Iterable[Record]
) -> tuple[StatedClaim, ...]:
    ends = [r.end for r in confirmed if r.status == "finished" and r.end]
    label = partial(_init_label, study)
    return dated(claims_of(study), [(s.start, of_launch(s.claims, label)) for s in stated], ends)


def _final(
    launch: StatedSeeds, judged: Collection[int], records: Iterable[Record], until: float
) -> set[int]:
    """Return the seeds, without those judged before, of the verdict that a launch had reached when
    another began at `until`; none if it had reached none."""
    before = [r for r in records if r.start < until and r.seed not in judged]
    for count in reversed(launch.looks or (len(launch.seeds),)):
        seeds = set(launch.seeds[:count]).difference(judged)
        runs = [r for r in before if r.seed in seeds]
        # A launch with interim analyses may also end by itself between two of them.
        over = (launch.complete and not launch.looks) or all(r.end and r.end <= until for r in runs)
        if over and {r.seed for r in runs} == seeds:
            return seeds
    return set()


def changed_strategies(
    strategies: Collection[str], stated: Iterable[StatedSeeds], records: Iterable[Record]
) -> Changed | None:
    """Return how the file's strategies differ from those of the first final verdict over others;
    None if there is no such verdict. `records`: the confirm trials that the file asks for now."""
    launches, records, known = list(stated), list(records), set[str]()
    for i, launch in enumerate(launches):
        if launch.strategies is None:
            continue
        known.update(launch.strategies)
        kept = [r for r in records if r.strategy in launch.strategies]
        later = [o.start for o in launches[i + 1 :] if o.strategies != launch.strategies]
        seeds = _final(launch, (), kept, later[0] if later else math.inf)
        added = tuple(s for s in strategies if s not in known)
        dropped = tuple(s for s in launch.strategies if s not in strategies)
        if seeds and (added or dropped):
            return Changed(len(seeds), added, dropped)
    return None


def _complete(stages: Iterable[Iterable[TrialSpec]], ended: Collection[str]) -> int:
    """Return how many stages, from the first one on, have only trials that have ended."""
    over = (all(t.id in ended for t in stage) for stage in stages)
    return sum(1 for _ in takewhile(bool, over))


def stopped(look: Look, plan: Plan) -> str:
    """Return a sentence: which look ended confirm, why, and which trials are not run."""
    return (
        f"confirm stopped at interim analysis {look.number} of {len(look.looks)} ({look.seeds} of "
        f"{look.looks[-1]} seeds): {look.stop}; "
        f"not run: {by_strategy(plan.called_off) or 'nothing'}"
    )
