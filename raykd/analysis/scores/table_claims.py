"""The column `claims` of a table, and the claims that the user states with the command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raykd.analysis.claims.stated import StatedClaim, of_text, renamed
from raykd.analysis.scores.scores import FORWARD, Problem, Score
from raykd.analysis.scores.table.rows import Row, text
from raykd.analysis.scores.table_options import TableOptions, strategy
from raykd.errors import UserError

NAMED = ("strategy", "init", "weight", "schedule")
"""What an arm of a claim names."""


def read(
    file: Path, rows: Sequence[Row], options: TableOptions, items: Sequence[Score],
    problems: Sequence[Problem],
) -> tuple[StatedClaim, ...]:  # fmt: skip
    """Return the claims of the table and then those that the user states now, with strategies as
    raykd writes them and the baseline as forward. Raises UserError, also for a claim about an arm
    that the table does not have."""
    written: dict[str, int] = {}
    for count, row in enumerate(rows, 1):
        if value := text(row, "claims"):
            written.setdefault(value, count)
    if len(written) > 1:
        one, other = list(written.values())[:2]
        raise UserError(f"{file}: claims: rows {one} and {other} differ; a table has one text")
    claims = [c for value in written for c in of_text(f"{file}: claims", value)]
    for value in options.claims:
        now = of_text("--claim", value, late=None)
        claims += [c for c in now if not any(c.same(earlier) for earlier in claims)]
    baseline = None if options.baseline is None else strategy(options.baseline)
    result = renamed(claims, lambda n: FORWARD if strategy(n) == baseline else strategy(n))
    arms = [(s.strategy, s.init, s.weight, s.schedule) for s in items]
    arms += [(str(p.strategy), str(p.init), p.weight, p.schedule) for p in problems]
    for claim in result:
        for arm in claim.arms:
            named = (arm.strategy, arm.init, arm.weight, arm.schedule)
            known_names = map(dict.fromkeys, zip(*arms, strict=True))
            for what, name, known in zip(NAMED, named, known_names, strict=True):
                if name and name not in known:
                    listed = ", ".join(str(k) for k in known if k) or "none"
                    raise UserError(
                        f"{file}: a claim names the {what} {name!r}; this table has {listed}"
                    )
    return result
