"""Print verdicts and the output of `raykd power`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table

from raykd.analysis.digits import Digits, estimate
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.stats.importance import Landscape
from raykd.analysis.stats.power import POWER, Needed
from raykd.analysis.stats.variance import Shares
from raykd.analysis.verdict.context import TeacherScore
from raykd.analysis.verdict.verdict import Arm, Cell, Comparison, Verdict, levels
from raykd.cli.terminal.output import out, whole

COLOURS = {"supported": "green", "contradicted": "red", "undecided": "yellow"}
CLAIMS = {
    "H1": "every strategy is equivalent to forward",
    "H2": "every strategy beats no matching",
    "H3": "the spread between strategies is small against the gain of matching",
    "H5": "forward is not beaten by more than the margin",
    "H6": "seen from the student, the teacher's layers lie at acute angles (docs/angles.md)",
}


def verdict(result: Verdict) -> None:
    better = "" if result.larger_is_better else " (smaller is better)"
    out.print(
        f"[bold]{escape(result.source)}[/]: {result.metric}{better}, margin {result.margin:g}, "
        f"alpha {result.alpha:g}"
    )
    if (teacher_score := result.teacher) is not None:
        out.print(
            f"teacher: test {teacher_score.metric} {teacher_score.test:.2f}, "
            f"select {teacher_score.select:.2f}, always the commonest answer "
            f"{teacher_score.majority:.2f}"
        )
    for caveat in result.caveats:
        out.print(f"[yellow]caveat:[/] {escape(caveat.says)}", soft_wrap=False)
    for cell in result.cells:
        out.print(
            f"\n[bold]{escape(f'{cell.task}, {cell.init}, {cell.shape} blocks')}[/]"
            f"{escape(_weight(cell))}"
        )
        _cell(cell, result)
    for task, shape, shares in result.shares:
        out.print(f"\n{escape(task)}, {shape} blocks, over {shares.inits} inits: {_shares(shares)}")
    for model in result.mixed:
        missing = _lost(cell for cell in result.cells if cell.shape == model.shape)
        left_out = f", {missing} missing runs left out" if missing else ""
        out.print(
            f"\nOver {model.tasks} tasks ({escape(model.init)}, {model.shape} blocks, "
            f"{model.metric}; mixed model, tasks as a sample{left_out}), against forward "
            f"({100 * model.level:.3g} % interval):"
        )
        for effect in model.effects:
            gap = estimate(result.margin, effect.effect, effect.interval)
            out.print(f"  {effect.strategy:<16} {gap}")
    if result.angles is not None:
        out.print(f"\nAngles: {escape(result.angles.prediction.says)}")
    for line in [*(p.says for p in result.problems), *result.notes]:
        out.print(f"\n{escape(line)}")


def _weight(cell: Cell) -> str:
    if cell.weight == TUNED:
        return ", each strategy at its best hidden weight (by select)"
    return f", hidden weight {cell.weight}" if cell.weight else ""


def _cell(cell: Cell, result: Verdict) -> None:
    margin = result.margin
    for hypothesis in cell.hypotheses:
        colour = COLOURS[hypothesis.status]
        out.print(f"  {hypothesis.id}  [{colour}]{hypothesis.status:<13}[/]{CLAIMS[hypothesis.id]}")
        out.print(f"      {'':<13}{escape(hypothesis.says)}")
    whole(_arms(cell, margin, result.teacher))
    for reference, pairs in (("forward", cell.to_forward), ("none", cell.to_none)):
        if pairs:
            out.print(f"  difference to {reference} ({', '.join(levels(pairs)) or 'no interval'})")
            whole(_differences(pairs, margin))
    if cell.gap is not None:
        format_number = Digits.of(margin, cell.gap.effect, *cell.gap.interval).plain
        low, high = map(format_number, cell.gap.interval)
        out.print(
            f"  largest gap: {cell.gap.best} over {cell.gap.worst} by "
            f"{format_number(cell.gap.effect)} "
            f"({low} to {high}, {100 * cell.gap.level:g} % for whichever pair)"
            f"{_of_survivors(cell, cell.gap.n)}"
        )
    if cell.shares is not None:
        out.print(f"  variance: {_shares(cell.shares)}{_of_survivors(cell, cell.shares.seeds)}")
    for sentence in [
        *([cell.sampled.says] if cell.sampled else []),
        *(c.says for c in cell.curse),
        *([cell.controls.says] if cell.controls else []),
        *([cell.lost.says] if cell.lost else []),
        *([cell.collapses.says] if cell.collapses else []),
    ]:
        out.print(f"  {escape(sentence)}")
    if cell.landscape is not None:
        out.print(f"  {_landscape(cell.landscape)}")
    for problem in cell.problems:
        out.print(f"  [yellow]not here:[/] {escape(problem.says)}")


def _lost(cells: Iterable[Cell]) -> int:
    return sum(len(arm.missing) for cell in cells for arm in cell.arms if not arm.control)


def _of_survivors(cell: Cell, seeds: int) -> str:
    """A note on the seeds behind a number that leaves missing runs out, instead of assuming the
    worst of them; empty if no run is missing."""
    if not _lost([cell]):
        return ""
    return f", over the {seeds} seeds that all have, missing runs left out"


def _arms(cell: Cell, margin: float, teacher: TeacherScore | None) -> Table:
    """Table of the teacher and every arm. The differences are in a table of their own, so that both
    fit 80 columns."""
    table = Table(box=None, pad_edge=True)
    for name in ("strategy", "mean", "seeds", "collapsed"):
        table.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=True)
    tests = [arm.mean for arm in cell.arms] + ([] if teacher is None else [teacher.test])
    means = Digits.of(margin, *tests)
    if teacher is not None:
        table.add_row("teacher", means.plain(teacher.test), "", "")
    for arm in cell.arms:
        name = f"{arm.strategy} (control)" if arm.control else arm.strategy
        name += f", weight {arm.chosen}" if arm.chosen else ""
        table.add_row(escape(name), means.plain(arm.mean), _seeds(arm), _collapsed(arm))
    return table


def _differences(pairs: Sequence[Comparison], margin: float) -> Table:
    table = Table(box=None, pad_edge=True, show_header=False)
    for justify in ("left", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    for pair in pairs:
        effect = estimate(margin, pair.effect, pair.interval)
        table.add_row(escape(pair.strategy), effect, pair.finding)
    return table


def _seeds(arm: Arm) -> str:
    missing = len(arm.missing)
    return f"{len(arm.seeds)} of {len(arm.seeds) + missing}" if missing else str(len(arm.seeds))


def _collapsed(arm: Arm) -> str:
    """Collapsed runs of an arm, and the upper bound of its collapse rate."""
    if arm.collapse_bound is None:
        return ""
    return f"{len(arm.collapsed)} of {len(arm.seeds)} (up to {100 * arm.collapse_bound:.2g} %)"


def _landscape(landscape: Landscape) -> str:
    shares = ", ".join(
        f"block {landscape.label(p.block)} {100 * p.share:.0f} %" for p in landscape.positions
    )
    noise = (
        ""
        if landscape.noise is None
        else f"; seed noise alone would make {100 * landscape.noise:.0f} %"
    )
    return (
        f"of the variance over {landscape.maps} explored maps, the choice explains: {shares}{noise}"
    )


def _shares(shares: Shares) -> str:
    parts = ", ".join(
        f"{s.source} {100 * s.share:.0f} % ({100 * s.interval[0]:.0f} to {100 * s.interval[1]:.0f})"
        for s in shares.sources
    )
    return f"{parts}, {100 * shares.level:.3g} % intervals"


def power(needed: Needed) -> None:
    count = needed.comparisons
    out.print(
        f"SD of a paired difference {needed.sd:.3g}, margin {needed.margin:g}, "
        f"alpha {needed.alpha:g}, {count} comparison{'s' * (count != 1)} to forward"
        + (f"; {escape(needed.source)}" if needed.source else "")
    )
    together = "" if count == 1 else f", all {count} together, each tested at alpha"
    strictest = "" if count == 1 else ", at Holm's strictest level"
    for purpose, seeds in (
        (f"to show that equal strategies are equivalent{together}", needed.equal),
        (f"the same where each differs by half the margin ({needed.margin / 2:g})", needed.half),
        (
            f"to show one difference of twice the margin ({2 * needed.margin:g}){strictest}",
            needed.twice,
        ),
    ):
        out.print(f"  {seeds if seeds is not None else 'over 10,000':>6} seeds {purpose}")
    out.print(f"  (power {POWER:g})\n")
    table = Table(box=None, pad_edge=True)
    for name in ("seeds", "equal", "", "half", "twice"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for point in needed.curve:
        table.add_row(
            str(point.seeds), f"{point.equal:.2f}", "#" * round(20 * point.equal),
            f"{point.half:.2f}", f"{point.twice:.2f}",
        )  # fmt: skip
    out.print(table)
