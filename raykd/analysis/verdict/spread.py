"""H3 of a cell: the spread between strategies is small compared with the gain of matching."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from raykd.analysis.digits import Digits
from raykd.analysis.scores.missing import filled
from raykd.analysis.scores.scores import CellName
from raykd.analysis.stats import spread as ratio
from raykd.analysis.stats.gap import contrasts
from raykd.analysis.stats.paired import Array, summary
from raykd.analysis.stats.power import above_power, all_of, seeds_for
from raykd.analysis.stats.spread import SMALL, SpreadRatio
from raykd.analysis.verdict.compare import Rule
from raykd.analysis.verdict.problems import MoreSeeds, SdOf, missing_piece, seeds
from raykd.analysis.verdict.verdict import Hypothesis, Status


def judge(
    table: Array, rule: Rule, cell: CellName, absent: list[str], worst: float = np.inf
) -> tuple[Hypothesis, SpreadRatio | None]:
    """Judge H3 of one cell.

    table: [seeds, strategies and none], larger is better, NaN for missing runs; at least two
    strategies. `worst`: the worst score seen, if it is that of a failed run.

    H3 is supported if the complete seeds support it and the whole table does with the missing runs
    at their worst for the claim: `none` at the best score seen, the strategies at the worst or the
    best. It is contradicted likewise, with every missing run at the worst score seen.
    """
    complete = table[~np.isnan(table).any(axis=1)]
    lost = int(np.isnan(table).sum())
    n = len(complete)
    if n < 2:
        return _one(complete[:, :-1], complete[:, -1], rule, cell, absent), None
    sides = np.arange(table.shape[1]) == table.shape[1] - 1
    highs = (sides, np.ones_like(sides)) if lost else ()
    cases = [filled(table, high, worst) for high in highs]
    failed = [filled(table, np.zeros_like(sides), worst)] if lost else []
    step = rule.resolution
    estimate = ratio.against_gain(complete[:, :-1], complete[:, -1], rule.alpha, resolution=step)
    finished_status = _status([complete], [complete], rule, absent)
    status = _status([complete, *cases], [complete, *failed], rule, absent)
    withheld = status != finished_status
    further = MoreSeeds()
    if status == "undecided" and not absent and not withheld:
        further = MoreSeeds.of(
            lambda sd_of: more_seeds(complete[:, :-1], complete[:, -1], rule.alpha, step, sd_of)
        )
    if lost:
        by_status = {"supported": cases, "contradicted": failed}
        estimate = _spanning(estimate, by_status.get(status, [*cases, *failed]), rule.alpha, step)
    piece = missing_piece(None, further, absent, rule)
    if withheld:
        verb = "support" if finished_status == "supported" else "contradict"
        piece = f"the finished runs alone would {verb} it; run what is missing"
    hypothesis = Hypothesis(
        "H3", *cell, status,
        effect=estimate.ratio,
        interval=estimate.interval,
        level=estimate.level if estimate.interval else None,
        n=n,
        margin=SMALL,
        more_seeds=further.count,
        more_seeds_range=further.range,
        strategy=None,
        says=_says(status, estimate, piece, lost, withheld, rule.margin),
        missing=lost,
        withheld=withheld,
    )  # fmt: skip
    return hypothesis, estimate


def _status(for_: list[Array], against: list[Array], rule: Rule, absent: list[str]) -> Status:
    """Return "supported" if every case in `for_` supports H3, "contradicted" if every case in
    `against` contradicts it, else "undecided"."""

    def claim(case: Array) -> tuple[Array, Array]:
        none = case[:, -1]
        return ratio.claim(case[:, :-1], none, rule.alpha, resolution=rule.resolution)

    if all(claim(case)[1] for case in against):
        return "contradicted"
    if not absent and all(claim(case)[0] for case in for_):
        return "supported"
    return "undecided"


def _spanning(
    estimate: SpreadRatio, cases: list[Array], alpha: float, resolution: float
) -> SpreadRatio:
    """Extend the interval over all cases. A case in which matching shows a loss leaves no upper
    bound."""
    case_intervals = [
        ratio.against_gain(case[:, :-1], case[:, -1], alpha, resolution=resolution).interval
        for case in cases
    ]
    intervals = [i for i in (estimate.interval, *case_intervals) if i is not None]
    if not intervals:
        return estimate
    high = max(i[1] for i in intervals) if len(intervals) == len(case_intervals) + 1 else np.inf
    return replace(estimate, interval=(min(i[0] for i in intervals), float(high)))


def more_seeds(
    scores: Array,
    none: Array,
    alpha: float,
    resolution: float = 0.0,
    sd_of: SdOf = lambda sd, _: sd,
) -> int | None:
    """Return the further seeds that would decide H3, by the contrasts of all pairs and the gain.
    `sd_of`: as in `problems.more_seeds`."""
    gain = scores.mean(axis=1) - none
    pairs = (scores @ contrasts(scores.shape[1]).T).T - SMALL * gain
    mean, sds = summary(pairs, resolution)
    sd = np.array([sd_of(float(s), len(gain)) for s in sds])
    gain_mean, gain_sd = (float(value) for value in summary(gain, resolution))
    gain_sd = sd_of(gain_sd, len(gain))
    strict = alpha / 2 / len(pairs)
    counts: list[int | None]
    if (mean < 0).all():
        powers: list[Callable[[int], float]] = [
            lambda n, m=float(m), s=float(s): above_power(n, s, 0.0, -m, alpha)  # type: ignore[misc]
            for m, s in zip(mean, sd, strict=True)
        ]
        powers.append(lambda n: above_power(n, gain_sd, 0.0, gain_mean, alpha))
        counts = [seeds_for(all_of(powers))]
    else:
        worst = int(np.argmax(mean))
        m, s = float(mean[worst]), float(sd[worst])
        counts = [seeds_for(lambda n: above_power(n, s, 0.0, m, strict))] if m > 0 else []
        if gain_mean < 0:
            counts.append(seeds_for(lambda n: above_power(n, gain_sd, 0.0, -gain_mean, alpha / 2)))
    total = min((c for c in counts if c is not None), default=None)
    return None if total is None else max(1, total - len(none))


def _one(scores: Array, none: Array, rule: Rule, cell: CellName, absent: list[str]) -> Hypothesis:
    """Return the undecided H3 of a cell with fewer than two complete seeds."""
    effect, facts = None, "no seed that all arms have"
    if len(none):
        means = scores.mean(axis=0)
        spread, gain = float(np.ptp(means)), float(means.mean() - none.mean())
        effect = spread / gain if gain > 0 else None
        digits = Digits.of(rule.margin, 0.0, spread, gain)
        facts = f"spread {digits.plain(spread)}, gain over no matching {digits.signed(gain)}"
    reason = "without seeds nothing tells a ratio from noise"
    if rule.seeded:
        reason = (
            missing_piece(None, MoreSeeds(), absent, rule)
            if absent
            else "too few seeds to judge it"
        )
    return Hypothesis(
        "H3",
        *cell,
        "undecided",
        effect,
        None,
        None,
        len(none),
        SMALL,
        None,
        None,
        f"{facts}; {reason}",
    )


def _says(
    status: Status, estimate: SpreadRatio, piece: str, lost: int, withheld: bool, margin: float
) -> str:
    digits = Digits.of(margin, 0.0, estimate.spread, estimate.gain)
    facts = (
        f"spread {digits.plain(estimate.spread)} against a gain of {digits.signed(estimate.gain)} "
        f"over {seeds(estimate.n)}{_bounds(estimate)}"
    )
    facts += f", with {lost} missing runs at the worst and the best score seen" if lost else ""
    if withheld:
        return f"withheld: {facts}; {piece}"
    if status == "supported":
        return f"the choice moves the score by less than {SMALL:g} of what matching brings: {facts}"
    if status == "contradicted":
        if estimate.interval is None:
            return f"matching brings nothing that the spread could be small against: {facts}"
        return f"the choice moves the score by more than {SMALL:g} of what matching brings: {facts}"
    return f"neither below nor above {SMALL:g} of what matching brings is shown: {facts}; {piece}"


def _bounds(estimate: SpreadRatio) -> str:
    if estimate.ratio is None:
        return ""
    shown = Digits.of(SMALL, 0.0, estimate.ratio, *(estimate.interval or ())).plain
    if estimate.interval is None:
        return f", ratio {shown(estimate.ratio)}"
    low, high = estimate.interval
    upper = shown(high) if np.isfinite(high) else "no bound"
    level = f"{100 * estimate.level:.3g} % interval"
    return f", ratio {shown(estimate.ratio)} ({shown(low)} to {upper}, {level})"
