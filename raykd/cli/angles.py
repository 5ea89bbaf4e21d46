"""Print the tables of `raykd angles`."""

from __future__ import annotations

from rich.text import Text

from raykd.analysis.verdict.angles import BlockAngles
from raykd.cli.terminal.console import say
from raykd.cli.terminal.tables import name, print_table, result
from raykd.sweep.angles import Found, Taken

COLUMNS = (
    name("strategy"), name("block"), result("acute"), result("lowest pair", gives_way=4),
    result("cosine"), result("centred", gives_way=2), result("gradients\nagree"),
    result("shuffled"), result("untrained"), result("ratio", gives_way=1),
    result("above 2", gives_way=3),
)  # fmt: skip


def angles(found: Found, counts: Taken) -> None:
    for share in found.angles.shares:
        weight = f", hidden weight {share.weight}" if share.weight else ""
        weight += f", schedule {share.schedule}" if share.schedule else ""
        task, init, shape = share.task, share.init, share.shape
        say()
        say(Text(f"{task}, {init}, {shape} blocks{weight}", style="bold"))
        say(f"  {share.says}", hang=2)
        cell = (task, init, shape, share.weight, share.schedule)
        rows = [
            b for b in found.angles.blocks
            if (b.task, b.init, b.shape, b.weight, b.schedule) == cell
        ]  # fmt: skip
        print_table(COLUMNS, [_row(block) for block in rows], indent=2)
    say(f"\n{found.angles.prediction.says}")
    say(
        "Shares are of tokens that see a pair of teacher blocks at an acute angle, means over all "
        "pairs; `shuffled` and `untrained` are nulls; `ratio` is how far outside the ball of "
        "Thales the student is (docs/angles.md). They decide no hypothesis: `raykd verdict` judges "
        "H6 by gradients and distances"
    )
    parts = [f"{counts.measured} students measured now, {counts.known} before"]
    parts += [f"{counts.unstored} kept no weights"] if counts.unstored else []
    if counts.unseen:
        parts.append(
            f"{counts.unseen} of another width have lost their projections (write `angles: true` "
            "to measure such students in training)"
        )
    say(", ".join(parts))


def _row(block: BlockAngles) -> list[str]:
    return [
        f"{block.strategy} (control)" if block.control else block.strategy, str(block.student),
        f"{block.raw:.3f}", f"{block.lowest:.3f} ({block.first}, {block.second})",
        f"{block.cosine:+z.2f}", f"{block.centred:.3f}", f"{block.gradient:.3f}",
        f"{block.shuffled:.3f}", f"{block.untrained:.3f}", f"{block.ratio:.2f}", f"{block.far:.2f}",
    ]  # fmt: skip
