"""Every strategy in one table: mean, difference to forward and share of the teacher's score."""

from __future__ import annotations

import math
from collections.abc import Iterable

from raykd.analysis.digits import Digits
from raykd.analysis.verdict.context import EndpointDifference, TeacherScore
from raykd.analysis.verdict.endpoints import TITLES
from raykd.analysis.verdict.rivals import tuned_to
from raykd.analysis.verdict.verdict import Arm, Cell, Comparison, Verdict
from raykd.report.figures import difference, gap, half_width, percent, settings
from raykd.report.page import Detail, Entry, Page, Runs, Section, Table
from raykd.report.tables import comparisons, paper_table, run_table
from raykd.tasks.kinds.metric import metric_named

NO_SHARE = "-"


def share(score: float, verdict: Verdict) -> float | None:
    """Return a score divided by the teacher's; None without a teacher or where less is better."""
    teacher = verdict.teacher
    if teacher is None or not verdict.larger_is_better or teacher.test <= 0:
        return None
    return score / teacher.test


def shown_share(score: float, verdict: Verdict) -> Entry:
    ratio = share(score, verdict)
    return Entry(NO_SHARE) if ratio is None else Entry(f"{100 * ratio:.1f} %", ratio)


def score_digits(verdict: Verdict) -> Digits:
    """Return one number format for the teacher, the majority class and all means."""
    teacher = verdict.teacher
    known = () if teacher is None else (teacher.test, teacher.majority)
    means = (arm.mean for cell in verdict.cells for arm in cell.arms)
    return Digits.of(verdict.margin, *known, *means)


def shares(verdict: Verdict, most: int) -> Table | None:
    """Return the share of the teacher's score that each strategy reaches, with a column for each
    setting, or the range over settings if there are more than `most`. None without a teacher."""
    teacher = verdict.teacher
    if teacher is None or share(teacher.test, verdict) is None:
        return None
    digits = score_digits(verdict)
    arms = [arm for cell in verdict.cells for arm in cell.arms if not arm.control]
    names = dict.fromkeys(arm.strategy for arm in arms)
    many = len(verdict.cells) > most
    columns = ("lowest to highest setting",) if many else settings(verdict)
    rows: list[tuple[str, ...]] = []
    for label, score in _references(teacher):
        cell = f"{shown_share(score, verdict).text} ({digits.plain(score)})"
        rows.append((label, *[cell] * len(columns)))
    for name in names:
        means = [
            next((a.mean for a in cell.arms if a.strategy == name), None) for cell in verdict.cells
        ]
        rows.append((name, *_columns(means, verdict, digits, many)))
    return Table("Share of the teacher's score (score)", ("strategy", *columns), tuple(rows))


def _columns(
    means: list[float | None], verdict: Verdict, digits: Digits, many: bool
) -> tuple[str, ...]:
    if not many:
        return tuple(
            "-" if m is None else f"{shown_share(m, verdict).text} ({digits.plain(m)})"
            for m in means
        )
    known = [m for m in means if m is not None]
    low, high = (shown_share(pick(known), verdict).text for pick in (min, max))
    return (f"{low} to {high}",)


def section(page: Page) -> Section | None:
    """Return the table of the strategies and that of the controls; None without scores."""
    if not page.verdict.cells:
        return None
    unsound = run_table(page.verdict)
    against, beside = controls(page), endpoints(page.verdict)
    return Section(
        "strategies",
        "Strategies",
        words=_words(page.verdict),
        tables=(strategies(page), *((against,) if against else ())),
        details=(
            Detail("Every comparison as a table", table=comparisons(page.verdict)),
            Detail("The layout of the paper's tables", table=paper_table(page)),
            *((Detail("Collapsed and missing runs", table=unsound),) if unsound.rows else ()),
            *((Detail("Secondary endpoints", table=beside),) if beside.rows else ()),
        ),
    )


def _words(verdict: Verdict) -> tuple[str, ...]:
    teacher = verdict.teacher
    if teacher is None:
        return ()
    if share(teacher.test, verdict) is None:
        return (f"A smaller {verdict.metric} is better, so no share of the teacher is stated.",)
    return ("The share of the teacher is a strategy's mean divided by the teacher's test score.",)


def strategies(page: Page) -> Table:
    """Return the sortable table of the strategies under test, after the teacher."""
    verdict, digits = page.verdict, score_digits(page.verdict)
    several = len(verdict.cells) > 1
    heads = (
        "strategy", *(("setting",) if several else ()), "mean",
        f"{percent(1 - verdict.at)} interval",
        "difference to forward (interval)", "level", "finding", "share of the teacher", "n",
    )  # fmt: skip
    rows = [(*_first(label, several), *_score_only(score, verdict, digits))
            for label, score in _references(verdict.teacher)]  # fmt: skip
    for place, cell in zip(settings(verdict), verdict.cells, strict=True):
        to_forward = {c.strategy: c for c in cell.to_forward}
        rows += [
            (*_name(arm, place, several, page.runs), *_mean(arm, verdict, digits),
             *_difference(to_forward.get(arm.strategy), verdict.margin),
             shown_share(arm.mean, verdict), _n(arm))
            for arm in cell.arms if not arm.control
        ]  # fmt: skip
    caption = f"{page.score[0].upper()}{page.score[1:]} of every strategy"
    return Table(caption, heads, tuple(rows), sortable=True)


def controls(page: Page) -> Table | None:
    """Return the table of the controls with the lead of matching over them; None without any."""
    verdict, digits = page.verdict, score_digits(page.verdict)
    several = len(verdict.cells) > 1
    rows = []
    for place, cell in zip(settings(verdict), verdict.cells, strict=True):
        against = {c.reference: c for c in _against_controls(cell)}
        rows += [
            (*_name(arm, place, several, page.runs), *_mean(arm, verdict, digits),
             *_difference(against.get(arm.strategy), verdict.margin),
             shown_share(arm.mean, verdict), _n(arm))
            for arm in cell.arms if arm.control
        ]  # fmt: skip
    if not rows:
        return None
    heads = (
        "control", *(("setting",) if several else ()), "mean",
        f"{percent(1 - verdict.at)} interval",
        "matching minus control (interval)", "level", "matching is", "share of the teacher", "n",
    )  # fmt: skip
    return Table("Controls", heads, tuple(rows), sortable=True)


def endpoints(verdict: Verdict) -> Table:
    """Return the mean of every arm in each secondary endpoint, and its difference to forward."""
    rows = tuple(
        (mean.strategy, place, TITLES[endpoint.name],
         Entry(Digits.of(scale, *(m.mean for m in endpoint.means)).plain(mean.mean), mean.mean),
         *_endpoint_difference(differences.get(mean.strategy), scale),
         "-" if endpoint.margin is None else f"{endpoint.margin:.4g}", str(mean.seeds))
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
        for endpoint in cell.endpoints
        for scale, differences in [(endpoint.scale,
                                    {d.strategy: d for d in endpoint.to_forward})]
        for mean in endpoint.means
    )  # fmt: skip
    heads = ("strategy", "setting", "endpoint", "mean", "better than forward by", "interval",
             "level", "finding", "margin", "seeds")  # fmt: skip
    return Table("Secondary endpoints; they decide no hypothesis", heads, rows, sortable=True)


def _endpoint_difference(d: EndpointDifference | None, scale: float) -> tuple[str | Entry, ...]:
    if d is None:
        return ("-", "-", "-", "-")
    effect, interval = gap(d.effect, d.interval, scale)
    level = "-" if d.interval is None else percent(d.level)
    return Entry(effect, d.effect), interval, level, d.finding or "-"


def _against_controls(cell: Cell) -> Iterable[Comparison]:
    return cell.controls.comparisons if cell.controls else ()


def _references(teacher: TeacherScore | None) -> tuple[tuple[str, float], ...]:
    if teacher is None:
        return ()
    return (("teacher", teacher.test), (metric_named(teacher.metric).constant, teacher.majority))


def _first(label: str, several: bool) -> tuple[str, ...]:
    return (label, "every") if several else (label,)


def _score_only(score: float, verdict: Verdict, digits: Digits) -> tuple[str | Entry, ...]:
    return (Entry(digits.plain(score), score), "-", "-", "-", "-", shown_share(score, verdict), "-")


def _name(arm: Arm, place: str, several: bool, runs: Runs) -> tuple[str | Entry, ...]:
    label = arm.strategy + (f", hidden weight {tuned_to(arm)}" if arm.chosen else "")
    first = Entry(label, href=runs.of_strategy(arm.strategy))
    return (first, place) if several else (first,)


def _mean(arm: Arm, verdict: Verdict, digits: Digits) -> tuple[str | Entry, ...]:
    half = half_width(arm, verdict.at)
    interval = f"{digits.plain(arm.mean - half)} to {digits.plain(arm.mean + half)}"
    return Entry(digits.plain(arm.mean), arm.mean), interval if half else "-"


def _difference(c: Comparison | None, margin: float) -> tuple[str | Entry, ...]:
    if c is None or math.isnan(c.effect):
        return ("-", "-", "-")
    level = "-" if c.interval is None else percent(c.level)
    return Entry(difference(c, margin), c.effect), level, c.finding


def _n(arm: Arm) -> Entry:
    n, missing = len(arm.scores), len(arm.missing)
    return Entry(f"{n} of {n + missing}" if missing else str(n), n)
