"""`raykd verdict` and `raykd power`: from a sweep or a table to what is said of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.scores import Scores
from raykd.analysis.stats import power as powers
from raykd.analysis.stats.sequential import Look
from raykd.analysis.verdict import foresight, public
from raykd.analysis.verdict.angle_claim import add_angles
from raykd.analysis.verdict.caveats import caveats
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.published import compare_published, published_scores
from raykd.analysis.verdict.verdict import Verdict
from raykd.errors import UserError
from raykd.sweep import angles
from raykd.sweep.interim import scores
from raykd.sweep.records import current
from raykd.sweep.teacher_score import facts

if TYPE_CHECKING:
    from raykd.sweep.sweep import Sweep


def verdict(
    sweep: Path | None,
    table: Path | None = None,
    margin: float | None = None,
    smaller_is_better: bool = False,
    tracking_uri: str | None = None,
) -> tuple[Sweep | None, Verdict]:
    """Of a sweep file's confirm trials, with the sweep as it was opened for that; or of a table,
    whose margin is stated here or by the table itself. Raises UserError."""
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise UserError(f"--margin: {margin:g}; write a number above 0, in the metric's units")
    if table is not None:
        if sweep is not None:
            raise UserError(f"{sweep} and --from {table}: a sweep or a table, not both")
        scores = from_table(table, smaller_is_better)
        return None, public.judge_table(scores, margin, public.ALPHA, "--margin ")
    if sweep is None:
        raise UserError("nothing to judge; write a sweep file, or --from TABLE")
    if smaller_is_better:
        raise UserError("--smaller-is-better goes with --from; a sweep's metric says it itself")
    from raykd.sweep.sweep import Sweep

    opened = Sweep.open(sweep, tracking_uri)
    return opened, of_sweep(opened, margin)


def of_sweep(sweep: Sweep, margin: float | None = None) -> Verdict:
    """At the file's margin and alpha; another margin is named as one that was not stated before."""
    config = sweep.study.config
    found_scores, look = scores_of(sweep)
    scored, known = (
        judge(found_scores, margin or config.margin, config.alpha, look),
        facts(sweep.study, sweep.client),
    )
    told = caveats(scored, found_scores, known)
    scored = replace(scored, teacher=known.teacher, caveats=told)
    found = add_angles(scored, angles.of_sweep(sweep))
    published = published_scores(config, sweep.study.file)
    found = replace(found, published=compare_published(found.cells, published))
    if margin is None or margin == config.margin:
        return found
    note = f"The margin {margin:g} was chosen now; the sweep file states {config.margin:g}"
    return replace(found, notes=(*found.notes, note))


def save(sweep: Sweep | None, file: Path) -> str:
    """Write the sweep's scores as a table; what was written, in words. Raises UserError."""
    if sweep is None:
        raise UserError(f"--save: {file}: goes with a sweep; a table is saved already")
    from raykd.analysis.scores import to_table

    written = to_table.save(scores_of(sweep)[0], file, sweep.study.config.margin)
    return f"{file}: {written} rows"


def scores_of(sweep: Sweep) -> tuple[Scores, Look | None]:
    """Confirm trials of the file as it is now, with the test examples each got right; where the
    file states looks, those up to the last look whose trials are all over. Raises UserError."""
    records, confirm = sweep.known, sweep.study.config.confirm
    made = sweep.planned(records)
    look, seeds = sweep.look(records), confirm.seed_list if confirm else ()
    if confirm is not None and confirm.looks is not None:
        if look is None:
            raise UserError(
                f"{sweep.study.file}: confirm.looks: the first is at {confirm.looks[0]} seeds, and "
                "not all of their trials are over; run `raykd sweep` first"
            )
        seeds = seeds[: look.seeds]
    study, used = sweep.study, frozenset(seeds)
    found = scores(study, sweep.client, current(study, records, made), made, used)
    return found, look


def power(
    sd: float | None,
    pilot: Path | None = None,
    margin: float | None = None,
    alpha: float | None = None,
    comparisons: int | None = None,
    tracking_uri: str | None = None,
) -> powers.Needed:
    """Seeds needed at a stated SD, or at the SD that a pilot sweep shows. The margin is in the SD's
    units, so only the pilot's file can state it for one. Raises UserError."""
    for name, value, high in (("--sd", sd, math.inf), ("--margin", margin, math.inf),
                              ("--alpha", alpha, 0.5)):  # fmt: skip
        if value is not None and not 0 < value < high:
            limit = "" if high == math.inf else f" and below {high:g}"
            raise UserError(f"{name}: {value:g}; write a number above 0{limit}")
    if (sd is None) == (pilot is None):
        raise UserError(
            "write --sd X (the SD of the difference between two strategies under one seed) or "
            "--pilot SWEEP, one of the two"
        )
    if sd is not None and margin is None:
        raise UserError(
            "--margin: write the smallest difference that would matter, in the units of --sd, such "
            "as 1 for one point of a score in percent, or 0.01 where scores are fractions"
        )
    source = ""
    if pilot is not None:
        _, found = verdict(pilot, None, margin, False, tracking_uri)
        sd, df, seen = foresight.pilot(found)
        margin, alpha, comparisons = found.margin, alpha or found.alpha, comparisons or seen
        source = f"SD from {found.source}, {df} degrees of freedom"
    assert sd is not None and margin is not None
    return powers.needed(
        sd, margin, alpha or public.ALPHA, comparisons or public.COMPARISONS, source
    )
