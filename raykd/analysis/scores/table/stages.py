"""The columns `judgement` and `extend` of a table: seeds that were added after a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from raykd.analysis.scores.table import rows as table_rows
from raykd.analysis.scores.table.rows import Row, text
from raykd.errors import UserError

YES, NO = ("true", "1"), ("", "false", "0")


def read(
    file: Path, rows: Sequence[tuple[int, Row]], seeds: Mapping[str, int]
) -> tuple[tuple[tuple[int, ...], ...], bool]:
    """Return the seeds of each judgement without those of earlier ones, and whether the extension
    was stated before the sweep, from numbered rows; none without a column `judgement`. Raises
    UserError."""
    if not rows or "judgement" not in rows[0][1]:
        return (), False
    stage_of: dict[int, tuple[int, int]] = {}
    extend: dict[bool, int] = {}
    for count, row in rows:
        where = f"{file}: row {count}"
        if (written := text(row, "extend").lower()) not in (*YES, *NO):
            raise UserError(f"{where}: extend: {written!r}; write true or false")
        extend.setdefault(written in YES, count)
        seed = seeds.get(text(row, "seed"), 0)
        stated = text(row, "judgement")
        stage = table_rows.whole(where, stated, "judgement") if stated else 1
        first, other = stage_of.setdefault(seed, (count, stage))
        if other != stage:
            raise UserError(
                f"{file}: judgement: seed {text(row, 'seed')} was added for {other} in row {first} "
                f"and for {stage} in row {count}; write one of the two"
            )
    if len(extend) > 1:
        raise UserError(
            f"{file}: extend: true in row {extend[True]}, not in row {extend[False]}; a table has "
            "one value"
        )
    numbers = sorted({stage for _, stage in stage_of.values()})
    if numbers != list(range(1, len(numbers) + 1)):
        raise UserError(
            f"{file}: judgement: {', '.join(map(str, numbers))}; number them from 1 on without gaps"
        )
    if len(numbers) < 2 and True not in extend:
        return (), False
    return tuple(
        tuple(sorted(seed for seed, (_, stage) in stage_of.items() if stage == number))
        for number in numbers
    ), True in extend
