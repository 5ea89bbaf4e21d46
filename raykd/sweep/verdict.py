"""`raykd verdict` and `raykd power`: judge a sweep or a table of scores."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from raykd.analysis.scores.scores import Scores
from raykd.analysis.stats import power as powers
from raykd.analysis.summary import foresight
from raykd.analysis.summary.acute_angles import add_angles
from raykd.analysis.summary.mechanism import add_mechanism
from raykd.analysis.summary.published import compare_published, published_scores
from raykd.analysis.verdict import public
from raykd.analysis.verdict.caveats import caveats
from raykd.analysis.verdict.context import Caveat
from raykd.analysis.verdict.endpoints import add_endpoints
from raykd.analysis.verdict.imitation import StudentImitation, add_imitation, from_trials
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Verdict
from raykd.config.design import Confirm
from raykd.errors import UserError
from raykd.planning import schedules
from raykd.sweep import angles
from raykd.sweep.interim import scores, task_name
from raykd.sweep.state import SweepState
from raykd.sweep.sweep import Sweep
from raykd.sweep.teacher import facts


def verdict(
    sweep: Path, margin: float | None = None, tracking_uri: str | None = None, smoke: bool = False
) -> tuple[SweepState, Verdict]:
    """Return the state of a sweep and the verdict on its confirm trials. Raises UserError."""
    state = Sweep.open(sweep, tracking_uri, smoke=smoke).state()
    return state, of_sweep(state, margin)


def of_sweep(state: SweepState, margin: float | None = None) -> Verdict:
    """Judge a sweep at the file's margin and alpha. A note names a margin that the file does not
    state."""
    config = state.study.config
    result = _judge(state, margin or config.margin)
    result = add_angles(result, angles.of_sweep(state))
    published = published_scores(config, state.study.file)
    result = replace(result, published=compare_published(result.cells, published))
    if margin is None or margin == config.margin:
        return result
    note = f"The margin {margin:g} was chosen now; the sweep file states {config.margin:g}"
    return replace(result, notes=(*result.notes, note))


def summary(state: SweepState) -> Verdict:
    """Judge a sweep by its seeds alone, in few requests: without angles, published scores and
    statistics over test examples. Hypotheses and caveats are those of `of_sweep`. Raises
    UserError."""
    return _judge(state, state.study.config.margin, examples=1)


def _judge(state: SweepState, margin: float, examples: int | None = None) -> Verdict:
    sweep_scores = scores_of(state, examples)
    result = judge(sweep_scores, margin, state.study.config.alpha, state.look)
    sweep_facts = facts(state.study, state.ledger.client)
    changed, alpha = state.stages.changed, state.study.config.alpha
    sentences = caveats(result, sweep_scores, sweep_facts)
    if changed is not None:
        sentences = (*(Caveat("judgement", s) for s in changed.says(alpha)), *sentences)
    notes = (*result.notes, *sweep_scores.notes)
    result = replace(result, teacher=sweep_facts.teacher, caveats=sentences, notes=notes)
    result = add_endpoints(result, sweep_scores)
    students = _imitations(state)
    result = add_imitation(result, students)
    return add_mechanism(result, students, state.study.config.agreement_margin)


def _imitations(state: SweepState) -> tuple[StudentImitation, ...]:
    """Return what the confirmed students imitated, of the seeds that are judged."""
    config, look = state.study.config, state.look
    confirm = config.confirm
    records = state.current
    if look is not None and confirm is not None:
        judged = frozenset(confirm.seed_list[: look.seeds])
        records = [r for r in records if r.seed in judged]
    controls, names = confirm.controls if confirm else (), schedules.names(state.study)
    return from_trials(records, task_name(config.task.named), controls, names.of_record)


def save(state: SweepState, file: Path) -> str:
    """Write the sweep's scores as a table and return a line about it. Raises UserError."""
    from raykd.analysis.scores import to_table

    written = to_table.save(scores_of(state), file, state.study.config.margin)
    return f"{file}: {written} rows"


def scores_of(state: SweepState, examples: int | None = None) -> Scores:
    """Return the confirm trials that the file asks for now, with the correctness of each test
    example, or that of the first `examples` trials only.

    With `confirm.looks`, only seeds up to the last completed look count. Raises UserError.
    """
    confirm, look = state.study.config.confirm, state.look
    seeds = confirm.seed_list if confirm else ()
    if confirm is not None and confirm.looks is not None:
        if look is None:
            raise UserError(
                f"{state.study.file}: confirm.looks: the first interim analysis is at "
                f"{confirm.looks[0]} seeds, and "
                "not all of their trials are over; run `raykd sweep` first"
            )
        seeds = seeds[: look.seeds]
    counted = frozenset(seeds)
    result = scores(state.study, state.ledger.client, state.current, state.plan, counted, examples)
    return result if confirm is None else _with_stages(result, state, confirm)


def _with_stages(result: Scores, state: SweepState, confirm: Confirm) -> Scores:
    """Add the stages in which seeds were judged, and whether the extension and each claim were
    stated before the sweep. A note says where the file states another extension than the first
    launch."""
    found, notes = state.stages, result.notes
    judged, extend = found.judged, found.extend
    if extend != confirm.extend:
        notes += (
            f"confirm.extend is {str(confirm.extend).lower()} in the sweep file and was "
            f"{str(extend).lower()} at the first launch, which counts",
        )
    found.refuse_one_added(state.study.file, judged)
    return replace(result, stages=judged, extend=extend, claims=found.claims, notes=notes)


def power(
    sd: float | None,
    pilot: Path | None = None,
    margin: float | None = None,
    alpha: float | None = None,
    comparisons: int | None = None,
    tracking_uri: str | None = None,
) -> powers.Needed:
    """Return the seeds needed at a given SD, or at the SD that a pilot sweep shows.

    The margin is in the SD's units, so only the pilot's file can state it for a pilot. Raises
    UserError.
    """
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
        _, pilot_verdict = verdict(pilot, margin, tracking_uri)
        sd, df, compared = foresight.pilot(pilot_verdict)
        margin, alpha, comparisons = (
            pilot_verdict.margin,
            alpha or pilot_verdict.alpha,
            comparisons or compared,
        )
        source = f"SD from {pilot_verdict.source}, {df} degrees of freedom"
    assert sd is not None and margin is not None
    return powers.needed(
        sd, margin, alpha or public.ALPHA, comparisons or public.COMPARISONS, source
    )
