"""Print the tables of `raykd angles`."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from raykd.analysis.verdict.angles import BlockAngles
from raykd.cli.terminal.output import out
from raykd.cli.verdict import COLOURS
from raykd.sweep.angles import Found, Taken

NAMES = ("block", "acute", "lowest pair", "cosine", "centred", "gradients agree", "shuffled",
         "untrained", "ratio", "above 2")  # fmt: skip


def angles(result: Found, counts: Taken) -> None:
    for hypothesis in result.hypotheses:
        weight = f", hidden weight {hypothesis.weight}" if hypothesis.weight else ""
        task, init, shape = hypothesis.task, hypothesis.init, hypothesis.shape
        out.print(f"\n[bold]{escape(f'{task}, {init}, {shape} blocks{weight}')}[/]")
        out.print(
            f"  H6  [{COLOURS[hypothesis.status]}]{hypothesis.status}[/]: {escape(hypothesis.says)}"
        )
        cell = (task, init, shape, hypothesis.weight)
        rows = [b for b in result.angles.blocks if (b.task, b.init, b.shape, b.weight) == cell]
        out.print(_table(rows))
    out.print(f"\n{escape(result.angles.prediction.says)}")
    out.print(
        "Shares are of tokens that see a pair of teacher blocks at an acute angle, means over all "
        "pairs; `shuffled` and `untrained` are nulls; `ratio` is how far outside the ball of "
        "Thales the student is (docs/angles.md)"
    )
    out.print(f"{counts.measured} students measured now, {counts.known} before", end="")
    out.print(f", {counts.unstored} kept no weights" if counts.unstored else "", end="")
    out.print(
        f", {counts.unseen} of another width have lost their projections (write `angles: true` to "
        "measure such students in training)" if counts.unseen else ""
    )  # fmt: skip


def _table(rows: list[BlockAngles]) -> Table:
    table = Table(box=None, pad_edge=True)
    table.add_column("strategy", no_wrap=True)
    for name in NAMES:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            escape(f"{row.strategy} (control)" if row.control else row.strategy), str(row.student),
            f"{row.raw:.3f}", f"{row.lowest:.3f} ({row.first}, {row.second})",
            f"{row.cosine:+z.2f}", f"{row.centred:.3f}", f"{row.gradient:.3f}",
            f"{row.shuffled:.3f}", f"{row.untrained:.3f}", f"{row.ratio:.2f}", f"{row.far:.2f}",
        )  # fmt: skip
    return table
