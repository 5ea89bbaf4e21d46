"""Caveats of a verdict: reasons why its numbers say less than they seem to. They are shown before
the findings. Pure functions over the scores and additional facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raykd.analysis.digits import Digits
from raykd.analysis.scores.scores import NONE, Scores
from raykd.analysis.verdict.context import Caveat, TeacherScore
from raykd.tasks.kinds.metric import metric_named

if TYPE_CHECKING:
    from raykd.analysis.verdict.verdict import Arm, Cell, Verdict


@dataclass(frozen=True)
class Facts:
    """Facts in addition to the scores. `data`: sentences on dropped rows and truncated texts.
    `fix`: what to change for a better teacher."""

    teacher: TeacherScore | None = None
    data: tuple[str, ...] = ()
    fix: str = "train it longer"


def caveats(verdict: Verdict, scores: Scores, facts: Facts | None = None) -> tuple[Caveat, ...]:
    """Return the caveats of a verdict that was reached from these scores."""
    facts = facts or Facts()
    judgement = verdict.judgement
    again = judgement is not None and judgement.number > 1 and not judgement.combined
    result = [Caveat("judgement", judgement.says(verdict.alpha))] if judgement and again else []
    result += [*_late(verdict), *_teacher(verdict, facts), *_coarse(verdict, scores)]
    result += _coarse_claims(verdict)
    if facts.teacher is not None:
        result += _majority(verdict, facts.teacher, scores.resolution)
    return (*result, *(Caveat("data", says) for says in facts.data))


def _late(verdict: Verdict) -> Iterator[Caveat]:
    """Yield a caveat for each claim that was stated when there were results already."""
    for claim in verdict.claims:
        if claim.late == 0:
            continue
        when = (
            "it was stated with the verdict, after all scores"
            if claim.late is None
            else f"{claim.late} of the confirmed students were finished before a launch stated it"
        )
        yield Caveat(
            "claim",
            f"{claim.id} ({claim.claim}) was not stated before the sweep: {when}; whoever has seen "
            "results can state what they show, so its error rate is not known",
        )


def _coarse_claims(verdict: Verdict) -> Iterator[Caveat]:
    """Yield a caveat for each equivalence whose bound is below two steps of the score."""
    for claim in verdict.claims:
        if claim.bound != claim.stated_bound:
            yield Caveat(
                "coarse",
                f"{claim.id} ({claim.claim}) is judged within {claim.bound:.4g}, two steps of the "
                f"score, in place of {claim.stated_bound:g}: take more test rows",
            )


def _teacher(verdict: Verdict, facts: Facts) -> Iterator[Caveat]:
    """Yield a caveat for each cell in which all students, or students that match no layer or are
    controls, beat the teacher. A layer map then has little to transfer."""
    if facts.teacher is None:
        return
    plain = Digits.of(verdict.margin).plain
    score, cells, sign = facts.teacher.test, verdict.cells, 1 if verdict.larger_is_better else -1
    for cell in cells:
        above = [a for a in cell.arms if sign * a.mean > sign * score]
        if len(above) == len(cell.arms):
            yield Caveat(
                "teacher_beaten",
                f"every strategy beats the teacher ({plain(score)}){_where(cell, cells)}: "
                f"{facts.fix}",
            )
        elif unmatched := [a for a in above if a.strategy == NONE or a.control]:
            yield Caveat(
                "teacher_beaten",
                f"students without the teacher's layers beat the teacher ({plain(score)})"
                f"{_where(cell, cells)}: {_listed(unmatched, plain)}; {facts.fix}",
            )


def _coarse(verdict: Verdict, scores: Scores) -> Iterator[Caveat]:
    """Yield a caveat for each task whose score step is larger than half the stated margin."""
    tasks = dict.fromkeys(task for task, *_ in scores.cells)
    if verdict.margin == verdict.stated_margin:
        return
    for task in tasks:
        step = scores.step(task)
        if step <= verdict.stated_margin / 2:
            continue
        rows = next((len(s.ids) for s in scores.items if s.task == task and s.ids is not None), 0)
        share = f"1 of {rows} test rows, " if rows else ""
        advice = "more test rows" if rows else "more test rows, or scores with more digits"
        where = f" of {task}" if len(tasks) > 1 else ""
        yield Caveat(
            "coarse",
            f"a step of the score{where} ({share}{step:.2g}) is larger than half the margin "
            f"({verdict.stated_margin / 2:g}), so the margin is {verdict.margin:.4g} in place of "
            f"{verdict.stated_margin:g}: take {advice}",
        )


def _majority(verdict: Verdict, teacher: TeacherScore, resolution: float) -> Iterator[Caveat]:
    """Yield a caveat for each cell with arms at most one step better than a constant answer."""
    cells, sign = verdict.cells, 1 if verdict.larger_is_better else -1
    constant, plain = metric_named(verdict.metric).constant, Digits.of(verdict.margin).plain
    for cell in cells:
        limit = sign * teacher.majority + resolution
        stuck = [a for a in cell.arms if sign * a.mean <= limit]
        if stuck:
            yield Caveat(
                "majority",
                f"no better than the {constant} ({plain(teacher.majority)})"
                f"{_where(cell, cells)}: {_listed(stuck, plain)}",
            )


def _listed(arms: Sequence[Arm], plain: Callable[[float], str]) -> str:
    return ", ".join(f"{a.strategy} {plain(a.mean)}" for a in arms)


def _where(cell: Cell, cells: Sequence[Cell]) -> str:
    """Return the name of the cell if there are several, else an empty string."""
    if len(cells) == 1:
        return ""
    weight = f", hidden weight {cell.weight}" if cell.weight else ""
    schedule = f", schedule {cell.schedule}" if cell.schedule else ""
    return f" ({cell.init}, {cell.shape} blocks{weight}{schedule})"
