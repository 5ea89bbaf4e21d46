"""The verdict's numbers as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from raykd.analysis.digits import Digits
from raykd.analysis.scores.scores import FORWARD, NONE
from raykd.analysis.verdict.verdict import Arm, Cell, Comparison, Verdict
from raykd.report.figures import gap, named, percent, settings, short
from raykd.report.page import Cost, Entry, Page, Runs, Table
from raykd.tracking.costs import ForecastOutcome
from raykd.tracking.ledger import Record


def paper_table(page: Page) -> Table:
    """Return the table in the paper's layout: a row per strategy, a column per task and init, with
    mean and range over seeds. The teacher comes first, then no matching, controls last."""
    cells = page.verdict.cells
    arms = {(a.strategy, i): a for i, cell in enumerate(cells) for a in cell.arms}
    ordered = sorted((a for cell in cells for a in cell.arms), key=_order)
    shown = [digits(cell, page.verdict.margin) for cell in cells]
    rows = tuple(
        (label, *(_score(arms.get((name, i)), shown[i]) for i in range(len(cells))))
        for name, label in {a.strategy: named(a) for a in ordered}.items()
    )
    if (teacher := page.verdict.teacher) is not None:
        rows = (("teacher", *[s.plain(teacher.test) for s in shown]), *rows)
    caption = f"{page.score[0].upper()}{page.score[1:]}: mean over seeds (lowest to highest, seeds)"
    return Table(caption, ("strategy", *settings(page.verdict)), rows)


def _order(arm: Arm) -> tuple[bool, bool, bool]:
    return (arm.control, arm.strategy != NONE, arm.strategy != FORWARD)


def digits(cell: Cell, margin: float) -> Digits:
    """Return the number format for all scores of a cell."""
    return Digits.of(margin, *(s for arm in cell.arms for s in arm.scores))


def _score(arm: Arm | None, digits: Digits) -> str:
    if arm is None:
        return "-"
    if len(arm.scores) == 1:
        return digits.plain(arm.mean)
    low, high = map(digits.plain, (min(arm.scores), max(arm.scores)))
    return f"{digits.plain(arm.mean)} ({low} to {high}, {len(arm.scores)})"


def published_table(verdict: Verdict) -> Table:
    """Return the scores of this sweep next to published ones."""
    rows = tuple(
        (b.strategy, b.init, shown.plain(b.published),
         shown.plain(b.mean)
         + (f" ({shown.plain(b.low)} to {shown.plain(b.high)}, {b.n})" if b.n > 1 else ""),
         gap(b.difference, None, verdict.margin)[0],
         {True: "yes", False: "no", None: "one seed"}[b.inside])
        for b in verdict.published
        for shown in [Digits.of(verdict.margin, b.published, b.mean, b.low, b.high)]
    )  # fmt: skip
    heads = ("strategy", "init", "published", "here (range, seeds)", "difference",
             "inside the range of seeds")  # fmt: skip
    task = verdict.published[0].task if verdict.published else ""
    return Table(f"{task}: published scores and those of this sweep", heads, rows)


def run_table(verdict: Verdict) -> Table:
    """Return for each arm its collapsed runs, the upper bound of their rate, and missing runs."""
    rows = tuple(
        (arm.strategy, place, f"{len(arm.collapsed)} of {len(arm.seeds)}",
         f"up to {percent(arm.collapse_bound)}", str(len(arm.missing)), str(len(arm.failed)))
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
        for arm in cell.arms
        if arm.collapse_bound is not None
    )  # fmt: skip
    heads = ("strategy", "setting", "collapsed", "not excluded (exact 95 % bound)", "missing",
             "of those failed")  # fmt: skip
    return Table("Collapsed and missing runs", heads, rows)


def seed_table(page: Page) -> Table:
    """Return every score, with the run of each student where it is known."""
    verdict, runs = page.verdict, page.runs
    rows: tuple[tuple[str | Entry, ...], ...] = tuple(
        (arm.strategy, place, Entry(str(seed), seed),
         Entry(digits(cell, verdict.margin).plain(score), score),
         *([_run(runs, runs.of(cell, arm, seed))] if runs.ids else []))
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
        for arm in cell.arms
        for seed, score in zip(arm.seeds, arm.scores, strict=True)
    )  # fmt: skip
    heads = ("strategy", "setting", "seed", verdict.metric, *(("run",) if runs.ids else ()))
    return Table("Every score", heads, rows, sortable=True)


def _run(runs: Runs, run: str) -> Entry:
    return Entry(run or "-", href=runs.page(run))


def comparisons(verdict: Verdict) -> Table:
    """Return the comparisons with forward, no matching and controls. The p-values are those of the
    findings."""
    heads = ("strategy", "against", "setting", "finding", "difference", "interval", "level",
             "pooled 90 % interval", "over examples too", "p", "seeds", "same answers")  # fmt: skip
    rows = []
    for place, cell in zip(settings(verdict), verdict.cells, strict=True):
        controls = cell.controls.comparisons if cell.controls else ()
        for c in (*cell.to_forward, *cell.to_none, *controls):
            margin = verdict.margin
            rows.append((c.strategy, c.reference, place, c.finding,
                         *gap(c.effect, c.interval, margin),
                         "-" if c.interval is None else percent(c.level), _pooled(c, cell, margin),
                         gap(c.effect, c.population, margin)[1], _p(c), str(c.n),
                         _agreement(c)))  # fmt: skip
    return Table("Comparisons", heads, tuple(rows))


def _pooled(c: Comparison, cell: Cell, margin: float) -> str:
    """Return the interval with one variance for all arms, of a difference to forward."""
    pooled = () if cell.pooled is None or c.reference != FORWARD else cell.pooled.intervals
    return next((gap(p.effect, p.interval, margin)[1] for p in pooled if p.strategy == c.strategy),
                "-")  # fmt: skip


def _p(c: Comparison) -> str:
    """Return the p-value of the finding; of equivalence or gain if it is undecided."""
    p = c.p_value
    return "-" if p is None else f"{p:.3f}" if p >= 0.001 else "under 0.001"


def _agreement(c: Comparison) -> str:
    if not c.mcnemar:
        return "-"
    return f"{100 * sum(m.agreement for m in c.mcnemar) / len(c.mcnemar):.0f} %"


def share_table(verdict: Verdict) -> Table:
    """Return shares of variance within each setting, and over the inits if there are several."""
    within = [
        (place, c.shares)
        for place, c in zip(settings(verdict), verdict.cells, strict=True)
        if c.shares
    ]
    over = [
        (
            "all inits"
            if len(verdict.shares) == 1
            else f"{short(task)}, {shape} blocks{_schedule(schedule)}, all inits",
            s,
        )
        for task, shape, s, schedule in verdict.shares
    ]
    rows = tuple(
        (place, s.source, f"{100 * s.share:.0f} %",
         f"{100 * s.interval[0]:.0f} to {100 * s.interval[1]:.0f} %",
         shown.plain(s.sd))
        for place, shares in (*within, *over)
        for shown in [Digits.of(verdict.margin, 0.0, *(s.sd for s in shares.sources))]
        for s in shares.sources
    )  # fmt: skip
    heads = ("setting", "source", "share", "interval", f"SD in {verdict.metric}")
    return Table("Shares of variance", heads, rows)


def _schedule(name: str) -> str:
    return f", schedule {name}" if name else ""


def average_table(verdict: Verdict) -> Table:
    """Return each strategy's difference to forward, averaged over the settings."""
    rows = tuple(
        (a.strategy, a.finding, *gap(a.effect, a.interval, verdict.margin), percent(a.level),
         str(a.cells),
         "-" if a.tau is None else Digits.of(verdict.margin, a.tau).plain(a.tau))
        for a in (verdict.over_cells.averages if verdict.over_cells else ())
    )  # fmt: skip
    heads = ("strategy", "finding", "difference to forward", "interval", "level", "settings",
             "SD of settings")  # fmt: skip
    return Table("Average over the settings", heads, rows)


def over_tasks(verdict: Verdict) -> Table:
    rows = tuple(
        (e.strategy, f"{m.init}, {m.shape} blocks{_schedule(m.schedule)}", m.metric, str(m.tasks),
         *gap(e.effect, e.interval, verdict.margin))
        for m in verdict.mixed
        for e in m.effects
    )  # fmt: skip
    heads = ("strategy", "setting", "metric", "tasks", "difference to forward", "interval")
    return Table("A mixed model in which tasks and seeds are samples", heads, rows)


def curses(verdict: Verdict) -> Table:
    """Return the lead of the search's best maps in the search and under fresh seeds."""
    rows = tuple(
        (c.strategy, c.map, gap(c.promised, None, verdict.margin)[0], c.against,
         *gap(c.kept, c.interval, verdict.margin), gap(c.lost, None, verdict.margin)[0], str(c.n))
        for cell in verdict.cells
        for c in cell.curse
    )  # fmt: skip
    heads = (
        "map",
        "blocks",
        "lead in the search",
        "over",
        "lead over forward",
        "interval",
        "lost",
        "seeds",
    )
    return Table("The search's best maps under fresh seeds", heads, rows)


def costs(records: Iterable[Record], workers: int) -> tuple[Cost, ...]:
    """Return the costs by phase and device. `workers`: data-parallel workers of a trial."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.status == "finished":
            device = (record.device or "unknown").partition(":")[0]
            groups.setdefault((record.phase, device), []).append(record)
    return tuple(_cost(*key, group, workers) for key, group in sorted(groups.items()))


def _cost(phase: str, device: str, records: list[Record], workers: int) -> Cost:
    seconds = [r.metrics["seconds"] + r.metrics["teacher_seconds"] for r in records]
    speeds = [r.metrics["examples_per_second"] for r in records]
    return Cost(
        phase=phase,
        device=device,
        trials=len(records),
        seconds=statistics.fmean(seconds),
        examples_per_second=statistics.fmean(speeds),
        hours=workers * sum(seconds) / 3600,
    )


def launch_tables(outcomes: Iterable[ForecastOutcome]) -> tuple[Table, ...]:
    """Return the estimated and actual time and cost of each launch; nothing without launches."""
    rows = tuple(_row(c) for c in outcomes)
    heads = ("launch", "minutes, estimated", "minutes", "device hours, estimated", "device hours",
             "money, estimated", "money")  # fmt: skip
    return (Table("Launches: estimated and actual time and cost", heads, rows),) if rows else ()


def _row(outcome: ForecastOutcome) -> tuple[str, ...]:
    estimated, actual = outcome.estimate["total"], outcome.actual
    cells = [outcome.launch]
    for key, unit in (("seconds", 60), ("hours", 1), ("money", 1)):
        low, likely, high = (
            "" if estimated[key] is None else _two_digits(estimated[key][name] / unit)
            for name in ("low", "likely", "high")
        )
        cells.append(f"{likely} ({low} to {high})" if likely else "no price")
        cells.append("" if actual is None or key not in actual else _two_digits(actual[key] / unit))
    return tuple(cells)


def _two_digits(number: float) -> str:
    """Return a number with two significant digits, and no exponent above 1."""
    return f"{float(f'{number:.2g}'):,.0f}" if abs(number) >= 10 else f"{number:.2g}"
