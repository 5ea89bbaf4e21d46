"""Print verdicts and the output of `raykd power`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from raykd.analysis.digits import Digits, estimate
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.stats.mixed import Mixed
from raykd.analysis.stats.pooled import NOISIER, Pooled
from raykd.analysis.stats.power import POWER, Needed
from raykd.analysis.stats.search.importance import Landscape
from raykd.analysis.stats.variance import Shares
from raykd.analysis.summary.headline import headline
from raykd.analysis.verdict.context import TeacherScore
from raykd.analysis.verdict.rivals import tuned_to
from raykd.analysis.verdict.verdict import (
    Arm,
    Cell,
    Comparison,
    Verdict,
    levels,
)
from raykd.cli.terminal import evidence
from raykd.cli.terminal.console import say
from raykd.cli.terminal.endpoints import endpoints
from raykd.cli.terminal.tables import Column, name, print_table
from raykd.cli.terminal.tables import result as outcome
from raykd.tasks.kinds.metric import metric_named

STRATEGY = name("strategy")
CLAIMS = {
    "H1": "every strategy is equivalent to forward",
    "H2": "every strategy beats no matching",
    "H3": "the spread between strategies is small against the gain of matching",
    "H5": "forward is not beaten by more than the margin",
    "H6": "matching one teacher block moves a student towards the others (docs/angles.md)",
}


def verdict(result: Verdict) -> None:
    better = "" if result.larger_is_better else " (smaller is better)"
    say(Text(headline(result), "bold"), hang=0)
    settings = f": {result.metric}{better}, margin {result.margin:.4g}, alpha {result.alpha:g}"
    say(Text.assemble(result.source, settings))
    if (teacher_score := result.teacher) is not None:
        plain = Digits.of(result.margin).plain
        say(
            f"teacher: test {teacher_score.metric} {plain(teacher_score.test)}, "
            f"select {plain(teacher_score.select)}, {metric_named(teacher_score.metric).constant} "
            f"{plain(teacher_score.majority)}"
        )
    for caveat in result.caveats:
        say(Text.assemble(("caveat: ", "bold"), caveat.says))
    evidence.claims(result)
    for cell in result.cells:
        title = f"{cell.task}, {cell.init}, {cell.shape} blocks"
        say()
        schedule = f", schedule {cell.schedule}" if cell.schedule else ""
        say(Text.assemble((title, "bold"), _weight(cell), schedule))
        _cell(cell, result)
    if result.over_cells is not None:
        evidence.over_cells(result.over_cells)
    for task, shape, shares, schedule in result.shares:
        where = f", schedule {schedule}" if schedule else ""
        say(f"\n{task}, {shape} blocks{where}, over {shares.inits} inits: {_shares(shares)}")
    for model in result.mixed:
        _mixed(model, result)
    if result.angles is not None:
        for share in result.angles.shares:
            where = f", schedule {share.schedule}" if share.schedule else ""
            say(f"\nAngles, {share.task}, {share.init}, {share.shape} blocks{where}: {share.says}")
        say(f"\nAngles and gaps: {result.angles.prediction.says}")
    for line in [*(p.says for p in result.problems), *result.notes]:
        say(f"\n{line}")


def _mixed(model: Mixed, result: Verdict) -> None:
    missing = _lost(cell for cell in result.cells if cell.shape == model.shape)
    left_out = f", {missing} missing runs left out" if missing else ""
    schedule = f", schedule {model.schedule}" if model.schedule else ""
    say(
        f"\nOver {model.tasks} tasks ({model.init}, {model.shape} blocks{schedule}, "
        f"{model.metric}; mixed model, tasks as a sample{left_out}), against forward "
        f"({100 * model.level:.3g} % interval):"
    )
    effects = [[e.strategy, estimate(result.margin, e.effect, e.interval)] for e in model.effects]
    print_table([STRATEGY, outcome("difference")], effects, indent=2)


def _weight(cell: Cell) -> str:
    if cell.weight == TUNED:
        return ", each strategy at the hidden weight that earlier seeds chose (by select)"
    return f", hidden weight {cell.weight}" if cell.weight else ""


def _cell(cell: Cell, result: Verdict) -> None:
    margin = result.margin
    for hypothesis in cell.hypotheses:
        status = (f"{hypothesis.status:<13}", evidence.STYLES[hypothesis.status])
        claim = Text.assemble(f"  {hypothesis.id}  ", status, CLAIMS[hypothesis.id])
        say(claim, hang=evidence.HANG)
        say(hypothesis.says, " " * evidence.HANG)
    _arms(cell, margin, result.teacher)
    for reference, pairs in (("forward", cell.to_forward), ("none", cell.to_none)):
        if pairs:
            say(f"  difference to {reference} ({', '.join(levels(pairs)) or 'no interval'})")
            _differences(pairs, margin)
    if cell.pooled is not None:
        _pooled(cell.pooled, margin)
    for line in _beyond_the_margin(cell, margin):
        say(f"  {line}")
    if cell.gap is not None:
        format_number = Digits.of(margin, cell.gap.effect, *cell.gap.interval).plain
        low, high = map(format_number, cell.gap.interval)
        say(
            f"  largest gap: {cell.gap.best} over {cell.gap.worst} by "
            f"{format_number(cell.gap.effect)} "
            f"({low} to {high}, {100 * cell.gap.level:g} % for whichever pair)"
            f"{_of_survivors(cell, cell.gap.n)}"
        )
    if cell.shares is not None:
        say(f"  variance: {_shares(cell.shares)}{_of_survivors(cell, cell.shares.seeds)}")
    if cell.imitation is not None:
        evidence.imitation(cell.imitation)
    if cell.mechanism is not None:
        evidence.agreements(cell.mechanism)
    endpoints(cell.endpoints)
    for sentence in [
        *([cell.sampled.says] if cell.sampled else []),
        *(c.says for c in cell.curse),
        *([cell.controls.says] if cell.controls else []),
        *([cell.lost.says] if cell.lost else []),
        *([cell.collapses.says] if cell.collapses else []),
    ]:
        say(f"  {sentence}")
    if cell.landscape is not None:
        say(f"  {_landscape(cell.landscape)}")
    for problem in cell.problems:
        say(Text.assemble("  ", ("not here: ", "bold"), problem.says))


def _pooled(pooled: Pooled, margin: float) -> None:
    """Print the differences with one variance for all arms, and how often they err."""
    sd = Digits.of(margin, pooled.sd).plain(pooled.sd)
    level = f"{100 * pooled.level:.3g} % interval"
    say(f"  difference to forward with one SD for all arms, {sd} ({level}, decides nothing)")
    rows = [[p.strategy, estimate(margin, p.effect, p.interval)] for p in pooled.intervals]
    print_table([STRATEGY, outcome("difference")], rows, indent=2)
    if pooled.errors is not None:
        of_sd, of_variance = pooled.errors
        say(
            f"  such an interval misses the truth in {1 - pooled.level:.2f} of simulated sweeps of "
            f"equal noise; in {of_variance:.2f} if the strategy's variance is {NOISIER:g} times "
            f"that of the others, in {of_sd:.2f} if its SD is"
        )


def _beyond_the_margin(cell: Cell, margin: float) -> Iterator[str]:
    """Yield what the seeds say about other margins and about more test examples."""
    if (largest := cell.largest) is not None:
        digits = Digits.of(margin, largest.bound)
        shown = largest.bound
        if not digits.scientific:  # a bound is rounded up
            shown = math.ceil(shown * 10**digits.decimals) / 10**digits.decimals
        bound = digits.plain(shown)
        yield (
            f"no strategy differs from forward by more than {bound} ({100 * largest.level:g} % "
            f"bound, by {largest.strategy})"
        )
    if (larger := cell.larger_test) is not None:
        sds = Digits.of(margin, larger.sd, larger.doubled).plain
        yield (
            f"twice as many test examples would lower the SD of a difference from "
            f"{sds(larger.sd)} to {sds(larger.doubled)}: {larger.seeds} seeds as good as "
            f"{larger.of} are now"
        )


def _lost(cells: Iterable[Cell]) -> int:
    return sum(len(arm.missing) for cell in cells for arm in cell.arms if not arm.control)


def _of_survivors(cell: Cell, seeds: int) -> str:
    """A note on the seeds behind a number that leaves missing runs out, instead of assuming the
    worst of them; empty if no run is missing."""
    if not _lost([cell]):
        return ""
    return f", over the {seeds} seeds that all have, missing runs left out"


def _arms(cell: Cell, margin: float, teacher: TeacherScore | None) -> None:
    """Print the table of the teacher and every arm. The differences are in a table of their own, so
    that both fit 80 columns."""
    tests = [arm.mean for arm in cell.arms] + ([] if teacher is None else [teacher.test])
    means = Digits.of(margin, *tests)
    rows = [] if teacher is None else [["teacher", means.plain(teacher.test), "", ""]]
    for arm in cell.arms:
        title = f"{arm.strategy} (control)" if arm.control else arm.strategy
        title += f", weight {tuned_to(arm)}" if arm.chosen else ""
        rows.append([title, means.plain(arm.mean), _seeds(arm), _collapsed(arm)])
    columns = [STRATEGY, outcome("mean"), Column("seeds"), Column("collapsed")]
    print_table(columns, rows, indent=2)


def _differences(pairs: Sequence[Comparison], margin: float) -> None:
    effects = [[p.strategy, estimate(margin, p.effect, p.interval), p.finding] for p in pairs]
    columns = [STRATEGY, outcome("difference"), outcome("finding", left=True)]
    print_table(columns, effects, indent=2)


def _seeds(arm: Arm) -> str:
    missing = len(arm.missing)
    return f"{len(arm.seeds)} of {len(arm.seeds) + missing}" if missing else str(len(arm.seeds))


def _collapsed(arm: Arm) -> str:
    """Collapsed runs of an arm, and the upper bound of its collapse rate."""
    if arm.collapse_bound is None:
        return ""
    bound = 100 * arm.collapse_bound
    digits = f"{bound:.2g}" if bound < 10 else f"{bound:.0f}"
    return f"{len(arm.collapsed)} of {len(arm.seeds)} (up to {digits} %)"


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
    say(
        f"SD of a paired difference {needed.sd:.3g}, margin {needed.margin:.4g}, "
        f"alpha {needed.alpha:g}, {count} comparison{'s' * (count != 1)} to forward"
        + (f"; {needed.source}" if needed.source else "")
    )
    together = "" if count == 1 else f", all {count} together, each tested at alpha"
    strictest = "" if count == 1 else ", at Holm's strictest level"
    for purpose, seeds in (
        (f"to show that equal strategies are equivalent{together}", needed.equal),
        (f"the same where each differs by half the margin ({needed.margin / 2:g})", needed.half),
        (
            f"to show one difference of twice the margin ({2 * needed.margin:.4g}){strictest}",
            needed.twice,
        ),
    ):
        say(f"  {seeds if seeds is not None else 'over 10,000':>6} seeds {purpose}", hang=15)
    say(f"  (power {POWER:g})\n")
    columns = [name("seeds"), outcome("equal"), outcome("", left=True), outcome("half"),
               outcome("twice")]  # fmt: skip
    curve = [
        [str(p.seeds), f"{p.equal:.2f}", "#" * round(20 * p.equal), f"{p.half:.2f}",
         f"{p.twice:.2f}"]
        for p in needed.curve
    ]  # fmt: skip
    print_table(columns, curve, indent=2)
