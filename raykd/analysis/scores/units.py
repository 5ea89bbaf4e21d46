"""Infer the units of a table's scores: fractions, percent, or those of the metric.

Scores stay in the units of their table, and the margin has the same units. The inferred units serve
to refuse likely mistakes: two units in one table, or a margin of 1 for fractions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from raykd.analysis.digits import Digits
from raykd.analysis.scores.metric_names import direction, is_share
from raykd.analysis.scores.scores import Score, Scores
from raykd.errors import UserError

FRACTION, PERCENT = 1.0, 100.0
EXAMPLES = {FRACTION: ", such as 0.01 for one point", PERCENT: ", such as 1 for one point"}
SURE = 5.0  # shares above it are in percent; a word error rate may be 1.2
NEAR = 1.5  # factor; a fraction is suspect if 100 times it is so close to others
HOW = "if they are in one unit, say so in a column scale: 1 for fractions, 100 for percent"


def scale(metrics: Iterable[str], values: Sequence[float]) -> float | None:
    """Return the perfect score by the names of the metrics and the size of the scores; None if it
    is unclear. Correlations may be negative, scores of unknown metrics may not."""
    names = tuple(metrics)
    shares = all(map(is_share, names))
    unknown = all(direction(m) is None for m in names)
    if not any(values) or not (shares or (unknown and min(values) >= 0)):
        return None
    largest = max(map(abs, values))
    if largest <= FRACTION:
        return FRACTION
    return PERCENT if SURE < largest <= PERCENT else None


def refuse_mixed(where: str, items: Sequence[Score]) -> None:
    """Raise UserError if some shares are fractions and others are in percent, between tasks or
    within one task."""
    tasks: dict[str, list[Score]] = {}
    for s in items:
        if is_share(s.metric) and s.score:
            tasks.setdefault(s.task, []).append(s)
    small = [
        t for t, task_scores in tasks.items() if all(abs(s.score) <= FRACTION for s in task_scores)
    ]
    task, most = max(
        ((t, max(s.score for s in task_scores)) for t, task_scores in tasks.items()),
        key=lambda pair: pair[1],
        default=("", 0.0),
    )
    if small and most > SURE:
        raise UserError(
            f"{where}: the scores of {small[0]} lie within 0 to 1, those of {task} go up to "
            f"{most:g}; write all of them as fractions or all in percent; {HOW}"
        )
    for task, task_scores in tasks.items():
        above = [s.score for s in task_scores if s.score > SURE]
        low, high = min(above, default=0.0) / NEAR, max(above, default=0.0) * NEAR
        for s in task_scores:
            if 0 < s.score < FRACTION and low <= 100 * s.score <= high:
                raise UserError(
                    f"{where}: {task}: {s.score:g} of {s.strategy} stands beside scores from "
                    f"{min(above):g} to {max(above):g}, as if it were {100 * s.score:g}; write all "
                    f"of them as fractions or all in percent; {HOW}"
                )


def refuse_other_unit(
    where: str, items: Sequence[Score], others: Iterable[float], what: str
) -> None:
    """Raise UserError if the shares are fractions and `others`, scores of the same metrics on
    select, are in percent, or the other way round."""
    test_scores, select_scores = (
        [abs(s.score) for s in items if is_share(s.metric)],
        [abs(score) for score in others if score],
    )
    for small, large in ((test_scores, select_scores), (select_scores, test_scores)):
        if small and large and max(small) <= FRACTION and max(large) > SURE:
            raise UserError(
                f"{where}: {what} go up to {max(select_scores):g} and the column score up to "
                f"{max(test_scores):g}; write all of them as fractions or all in percent; {HOW}"
            )


def doubts(items: Sequence[Score]) -> tuple[str, ...]:
    """Return a note if scores of unknown metrics lie within 0 to 1 in some tasks only."""
    tasks: dict[str, list[float]] = {}
    for s in items:
        if direction(s.metric) is None:
            tasks.setdefault(s.task, []).append(abs(s.score))
    small = [t for t, values in tasks.items() if max(values) <= FRACTION]
    if not small or len(small) == len(tasks):
        return ()
    other = next(t for t in tasks if t not in small)
    return (
        f"The scores of {small[0]} lie within 0 to 1, those of {other} go up to "
        f"{max(tasks[other]):g}, and one margin is asked of both: see that it suits both",
    )


def stated(scores: Scores, margin: float | None, key: str) -> float:
    """Return the margin for a table: the given one, else that of the table. Raises UserError if
    there is none, or if it is larger than any possible difference. `key` is what the user writes
    the margin with."""
    chosen = scores.margin if margin is None else margin
    values = [s.score for s in scores.items]
    digits = Digits.of(0.0, *values)
    span = f"whose scores here go from {digits.plain(min(values))} to {digits.plain(max(values))}"
    example = EXAMPLES.get(scores.scale or 0.0, "")
    if chosen is None:
        raise UserError(
            f"{scores.source}: no margin is stated; write {key}X, the smallest difference that "
            f"would matter{example}, in units of {scores.metric}, {span}; or add a column margin"
        )
    largest = scores.scale or max(map(abs, values))
    if 0 < largest <= chosen:
        name = "margin" if margin is None else key.rstrip(" =")
        percent = "; if they are in percent, a column scale with 100 says so"
        raise UserError(
            f"{scores.source}: {name}: {chosen:g} is too large for {scores.metric}, {span}; write "
            f"the smallest difference that would matter{example}{percent * (largest == FRACTION)}"
        )
    return chosen


def notes(scores: Scores, margin: float, chosen: bool) -> tuple[str, ...]:
    """Return notes on how a table was read. `chosen`: whether the margin was given by the user."""
    lines = list(scores.notes)
    if scores.scale == FRACTION:
        lines.append(
            f"The scores lie within 0 to 1 and are read as fractions, so the margin {margin:g} is "
            f"{100 * margin:g} point{'s' * (margin != 0.01)}"
        )
    if chosen and scores.margin is not None and margin != scores.margin:
        lines.append(f"The margin {margin:g} was chosen now; the table states {scores.margin:g}")
    return tuple(lines)
