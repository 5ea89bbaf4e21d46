"""Print the claims of a sweep file, what the students of a cell imitated, the evidence on H6, and
H4 over all cells."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rich.text import Text

from raykd.analysis.claims.results import of_all
from raykd.analysis.digits import Digits, estimate
from raykd.analysis.verdict.context import (
    GradientAgreement,
    Imitation,
    Mechanism,
    OverCells,
    PairImitation,
)
from raykd.analysis.verdict.verdict import Verdict
from raykd.cli.terminal.console import say
from raykd.cli.terminal.tables import Column, name, print_table
from raykd.cli.terminal.tables import result as outcome

STRATEGY = name("strategy")
HANG = 19  # indent of a hypothesis: its number and status come before it
STYLES = {"supported": "bold green", "contradicted": "bold red", "undecided": "bold"}


def imitation(imitated: Imitation) -> None:
    """Print a row for each strategy: means over its pairs. The pairs are in JSON and the report."""
    say(
        "  imitated: R² on held-out tokens, mean over matched pairs (1: a copy of the teacher's "
        "state, 0: its mean state)"
    )
    rows = []
    for strategy in dict.fromkeys(p.strategy for p in imitated.pairs):
        pairs = [p for p in imitated.pairs if p.strategy == strategy]
        title = f"{strategy} (control)" if pairs[0].control else strategy
        worst, best = (f(pairs, key=lambda p: p.r2) for f in (min, max))
        rows.append(
            [title, _share([p.r2 for p in pairs]), _pair(worst), _pair(best),
             _share([p.lookup for p in pairs]), _share([p.unmatched for p in pairs])]
        )  # fmt: skip
    columns = [STRATEGY, outcome("R²"), Column("lowest pair"), Column("highest pair"),
               Column("lookup"), Column("unmatched")]  # fmt: skip
    print_table(columns, rows, indent=2)


def agreements(mechanism: Mechanism) -> None:
    """Print a row for each strategy: means over its pairs. The pairs are in JSON and the report."""
    say(
        "  gradients: cosine of the pull to the own target with that to another teacher block, and "
        "with an unrelated target; their agreement (0: unrelated, 1: the own target)"
    )
    rows = []
    for strategy in dict.fromkeys(a.strategy for a in mechanism.agreements):
        pairs = [a for a in mechanism.agreements if a.strategy == strategy]
        worst, best = (f(pairs, key=lambda a: a.agreement) for f in (min, max))
        rows.append(
            [strategy, _share([a.agreement for a in pairs]), _agreement(worst), _agreement(best),
             _share([a.cosine for a in pairs]), _share([a.null for a in pairs])]
        )  # fmt: skip
    columns = [STRATEGY, outcome("agreement"), Column("lowest"), Column("highest"),
               Column("cosine"), Column("unrelated")]  # fmt: skip
    print_table(columns, rows, indent=2)


def _agreement(a: GradientAgreement) -> str:
    return f"{a.student or 'any'}, {a.teacher}: {a.agreement:z.2f}"


def _share(values: Sequence[float | None]) -> str:
    """The mean of shares of 1; empty if one is missing."""
    present = [value for value in values if value is not None]
    return f"{fmean(present):z.2f}" if len(present) == len(values) else ""


def _pair(pair: PairImitation) -> str:
    return f"{pair.student} to {pair.teacher}: {pair.r2:z.2f}"


def claims(result: Verdict) -> None:
    """Print the answer to each claim of the sweep file, and what holds for all of them together."""
    if not result.claims:
        return
    say()
    say(Text("Claims", style="bold"))
    for claim in result.claims:
        status = (f"{claim.status:<13}", STYLES[claim.status])
        say(Text.assemble(f"  {claim.id}  ", status, claim.claim), hang=HANG)
        say(claim.says, " " * HANG)
    if rates := of_all(result.claims, result.at):
        say(f"  {rates}")


def over_cells(found: OverCells) -> None:
    """Print H4: whether the answer holds in every cell, and on average."""
    say()
    say(Text(f"Over {found.cells} cells", style="bold"))
    status = (f"{found.everywhere:<13}", STYLES[found.everywhere])
    say(Text.assemble("  H4  ", status, "every strategy is equivalent to forward in every cell"),
        hang=HANG)  # fmt: skip
    say(found.says, " " * HANG)
    average = found.average or "undecided"
    status = (f"{found.average or 'withheld':<13}", STYLES[average])
    say(Text.assemble("      ", status, "every strategy is equivalent to forward on average"),
        hang=HANG)  # fmt: skip
    say(found.average_says, " " * HANG)
    for line in found.dependent:
        say(Text.assemble("  ", ("dependent: ", "bold"), line), hang=2)
    if not found.averages:
        return
    levels = dict.fromkeys(f"{100 * a.level:.3g} %" for a in found.averages)
    say(f"  average difference to forward (random effects, {' or '.join(levels)} interval)")
    tau = Digits.of(found.margin, *(a.tau for a in found.averages if a.tau is not None)).plain
    rows = [
        [a.strategy, estimate(found.margin, a.effect, a.interval), a.finding, str(a.cells),
         "" if a.tau is None else tau(a.tau)]
        for a in found.averages
    ]  # fmt: skip
    columns = [STRATEGY, outcome("difference"), outcome("finding", left=True), Column("cells"),
               Column("SD of cells")]  # fmt: skip
    print_table(columns, rows, indent=2)
