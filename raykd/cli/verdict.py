"""What the terminal shows of a verdict, and of the seeds it takes."""

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
from raykd.cli.output import out, whole

COLOURS = {"supported": "green", "contradicted": "red", "undecided": "yellow"}
CLAIMS = {
    "H1": "every strategy is equivalent to forward",
    "H2": "every strategy beats no matching",
    "H3": "the spread between strategies is small against the gain of matching",
    "H5": "forward is not beaten by more than the margin",
    "H6": "seen from the student, the teacher's layers lie at acute angles (docs/angles.md)",
}


def verdict(found: Verdict) -> None:
    better = "" if found.larger_is_better else " (smaller is better)"
    out.print(
        f"[bold]{escape(found.source)}[/]: {found.metric}{better}, margin {found.margin:g}, "
        f"alpha {found.alpha:g}"
    )
    if (taught := found.teacher) is not None:
        out.print(
            f"teacher: test {taught.metric} {taught.test:.2f}, select {taught.select:.2f}, always "
            f"the commonest answer {taught.majority:.2f}"
        )
    for caveat in found.caveats:
        out.print(f"[yellow]caveat:[/] {escape(caveat.says)}", soft_wrap=False)
    for cell in found.cells:
        out.print(
            f"\n[bold]{escape(f'{cell.task}, {cell.init}, {cell.shape} blocks')}[/]"
            f"{escape(_weight(cell))}"
        )
        _cell(cell, found)
    for task, shape, shares in found.shares:
        out.print(f"\n{escape(task)}, {shape} blocks, over {shares.inits} inits: {_shares(shares)}")
    for model in found.mixed:
        lost = _lost(cell for cell in found.cells if cell.shape == model.shape)
        left_out = f", {lost} missing runs left out" if lost else ""
        out.print(
            f"\nOver {model.tasks} tasks ({escape(model.init)}, {model.shape} blocks, "
            f"{model.metric}; mixed model, tasks as a sample{left_out}), against forward "
            f"({100 * model.level:.3g} % interval):"
        )
        for effect in model.effects:
            gap = estimate(found.margin, effect.effect, effect.interval)
            out.print(f"  {effect.strategy:<16} {gap}")
    if found.angles is not None:
        out.print(f"\nAngles: {escape(found.angles.prediction.says)}")
    for line in [*(p.says for p in found.problems), *found.notes]:
        out.print(f"\n{escape(line)}")


def _weight(cell: Cell) -> str:
    if cell.weight == TUNED:
        return ", each strategy at its best hidden weight (by select)"
    return f", hidden weight {cell.weight}" if cell.weight else ""


def _cell(cell: Cell, found: Verdict) -> None:
    margin = found.margin
    for h in cell.hypotheses:
        colour = COLOURS[h.status]
        out.print(f"  {h.id}  [{colour}]{h.status:<13}[/]{CLAIMS[h.id]}")
        out.print(f"      {'':<13}{escape(h.says)}")
    whole(_arms(cell, margin, found.teacher))
    for reference, pairs in (("forward", cell.to_forward), ("none", cell.to_none)):
        if pairs:
            out.print(f"  difference to {reference} ({', '.join(levels(pairs)) or 'no interval'})")
            whole(_differences(pairs, margin))
    if cell.gap is not None:
        shown = Digits.of(margin, cell.gap.effect, *cell.gap.interval).plain
        low, high = map(shown, cell.gap.interval)
        out.print(
            f"  largest gap: {cell.gap.best} over {cell.gap.worst} by {shown(cell.gap.effect)} "
            f"({low} to {high}, {100 * cell.gap.level:g} % for whichever pair)"
            f"{_of_survivors(cell, cell.gap.n)}"
        )
    if cell.shares is not None:
        out.print(f"  variance: {_shares(cell.shares)}{_of_survivors(cell, cell.shares.seeds)}")
    for says in [
        *([cell.sampled.says] if cell.sampled else []),
        *(c.says for c in cell.curse),
        *([cell.controls.says] if cell.controls else []),
        *([cell.lost.says] if cell.lost else []),
        *([cell.collapses.says] if cell.collapses else []),
    ]:
        out.print(f"  {escape(says)}")
    if cell.landscape is not None:
        out.print(f"  {_landscape(cell.landscape)}")
    for problem in cell.problems:
        out.print(f"  [yellow]not here:[/] {escape(problem.says)}")


def _lost(cells: Iterable[Cell]) -> int:
    return sum(len(arm.missing) for cell in cells for arm in cell.arms if not arm.control)


def _of_survivors(cell: Cell, seeds: int) -> str:
    """Of a number that is not held against the worst case: over which seeds it is."""
    if not _lost([cell]):
        return ""
    return f", over the {seeds} seeds that all have, missing runs left out"


def _arms(cell: Cell, margin: float, teacher: TeacherScore | None) -> Table:
    """The teacher and every arm. What they differ by stands below, so that all of it is read at 80
    columns."""
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
    lost = len(arm.missing)
    return f"{len(arm.seeds)} of {len(arm.seeds) + lost}" if lost else str(len(arm.seeds))


def _collapsed(arm: Arm) -> str:
    """Of its runs, and the rate that they do not exclude."""
    if arm.collapse_bound is None:
        return ""
    return f"{len(arm.collapsed)} of {len(arm.seeds)} (up to {100 * arm.collapse_bound:.2g} %)"


def _landscape(found: Landscape) -> str:
    shares = ", ".join(
        f"block {found.label(p.block)} {100 * p.share:.0f} %" for p in found.positions
    )
    noise = (
        "" if found.noise is None else f"; seed noise alone would make {100 * found.noise:.0f} %"
    )
    return f"of the variance over {found.maps} explored maps, the choice explains: {shares}{noise}"


def _shares(shares: Shares) -> str:
    parts = ", ".join(
        f"{s.source} {100 * s.share:.0f} % ({100 * s.interval[0]:.0f} to {100 * s.interval[1]:.0f})"
        for s in shares.sources
    )
    return f"{parts}, {100 * shares.level:.3g} % intervals"


def power(found: Needed) -> None:
    m = found.comparisons
    out.print(
        f"SD of a paired difference {found.sd:.3g}, margin {found.margin:g}, "
        f"alpha {found.alpha:g}, {m} comparison{'s' * (m != 1)} to forward"
        + (f"; {escape(found.source)}" if found.source else "")
    )
    every = "" if m == 1 else f", all {m} together, each tested at alpha"
    holm = "" if m == 1 else ", at Holm's strictest level"
    for what, seeds in (
        (f"to show that equal strategies are equivalent{every}", found.equal),
        (f"the same where each differs by half the margin ({found.margin / 2:g})", found.half),
        (f"to show one difference of twice the margin ({2 * found.margin:g}){holm}", found.twice),
    ):
        out.print(f"  {seeds if seeds is not None else 'over 10,000':>6} seeds {what}")
    out.print(f"  (power {POWER:g})\n")
    table = Table(box=None, pad_edge=True)
    for name in ("seeds", "equal", "", "half", "twice"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for p in found.curve:
        table.add_row(
            str(p.seeds), f"{p.equal:.2f}", "#" * round(20 * p.equal), f"{p.half:.2f}",
            f"{p.twice:.2f}",
        )  # fmt: skip
    out.print(table)
