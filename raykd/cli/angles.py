"""What the terminal shows of the angles."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from raykd.analysis.verdict.angles import BlockAngles
from raykd.cli.output import out
from raykd.cli.verdict import COLOURS
from raykd.sweep.angles import Found, Taken

NAMES = ("block", "acute", "lowest pair", "cosine", "centred", "gradients agree", "shuffled",
         "untrained", "ratio", "above 2")  # fmt: skip


def angles(found: Found, taken: Taken) -> None:
    for h in found.hypotheses:
        weight = f", hidden weight {h.weight}" if h.weight else ""
        out.print(f"\n[bold]{escape(f'{h.task}, {h.init}, {h.shape} blocks{weight}')}[/]")
        out.print(f"  H6  [{COLOURS[h.status]}]{h.status}[/]: {escape(h.says)}")
        cell = (h.task, h.init, h.shape, h.weight)
        rows = [b for b in found.angles.blocks if (b.task, b.init, b.shape, b.weight) == cell]
        out.print(_table(rows))
    out.print(f"\n{escape(found.angles.prediction.says)}")
    out.print(
        "Shares are of tokens that see a pair of teacher blocks at an acute angle, means over all "
        "pairs; `shuffled` and `untrained` are nulls; `ratio` is how far outside the ball of "
        "Thales the student is (docs/angles.md)"
    )
    out.print(f"{taken.measured} students measured now, {taken.known} before", end="")
    out.print(f", {taken.unstored} kept no weights" if taken.unstored else "", end="")
    out.print(
        f", {taken.unseen} of another width have lost their projections (write `angles: true` to "
        "measure such students in training)" if taken.unseen else ""
    )  # fmt: skip


def _table(rows: list[BlockAngles]) -> Table:
    table = Table(box=None, pad_edge=True)
    table.add_column("strategy", no_wrap=True)
    for name in NAMES:
        table.add_column(name, justify="right", no_wrap=True)
    for b in rows:
        table.add_row(
            escape(f"{b.strategy} (control)" if b.control else b.strategy), str(b.student),
            f"{b.raw:.3f}", f"{b.lowest:.3f} ({b.first}, {b.second})", f"{b.cosine:+z.2f}",
            f"{b.centred:.3f}", f"{b.gradient:.3f}", f"{b.shuffled:.3f}", f"{b.untrained:.3f}",
            f"{b.ratio:.2f}", f"{b.far:.2f}",
        )  # fmt: skip
    return table
