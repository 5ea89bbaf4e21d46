"""H3 of a cell: the spread between strategies is small against the gain of matching."""

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
from raykd.analysis.verdict.equivalence import missing_piece, seeds
from raykd.analysis.verdict.verdict import Hypothesis, Status


def judge(
    table: Array, rule: Rule, cell: CellName, absent: list[str], worst: float = np.inf
) -> tuple[Hypothesis, SpreadRatio | None]:
    """table: [seeds, strategies and none], larger is better, NaN where a run is missing; at least
    two strategies. `worst`: the worst score seen, where that is of a run that failed.

    Supported where the seeds that all have support it, and the whole table does with its missing
    runs at their worst for the claim: no matching at the best score seen, the strategies at the
    worst or the best. Contradicted likewise, with each missing run at the worst score seen.
    """
    whole = table[~np.isnan(table).any(axis=1)]
    lost = int(np.isnan(table).sum())
    n = len(whole)
    if n < 2:
        return _one(whole[:, :-1], whole[:, -1], rule, cell, absent), None
    sides = np.arange(table.shape[1]) == table.shape[1] - 1
    highs = (sides, np.ones_like(sides)) if lost else ()
    cases = [filled(table, high, worst) for high in highs]
    failed = [filled(table, np.zeros_like(sides), worst)] if lost else []
    step = rule.resolution
    found = ratio.against_gain(whole[:, :-1], whole[:, -1], rule.alpha, resolution=step)
    seen = _status([whole], [whole], rule, absent)
    status = _status([whole, *cases], [whole, *failed], rule, absent)
    withheld = status != seen
    more = None
    if status == "undecided" and not absent and not withheld:
        more = more_seeds(whole[:, :-1], whole[:, -1], rule.alpha, step)
    if lost:
        by_status = {"supported": cases, "contradicted": failed}
        found = _spanning(found, by_status.get(status, [*cases, *failed]), rule.alpha, step)
    piece = missing_piece(None, more, absent, rule)
    if withheld:
        would = "support" if seen == "supported" else "contradict"
        piece = f"the finished runs alone would {would} it; run what is missing"
    hypothesis = Hypothesis(
        "H3", *cell, status,
        effect=found.ratio,
        interval=found.interval,
        level=found.level if found.interval else None,
        n=n,
        margin=SMALL,
        more_seeds=more,
        strategy=None,
        says=_says(status, found, piece, lost, withheld, rule.margin),
        missing=lost,
        withheld=withheld,
    )  # fmt: skip
    return hypothesis, found


def _status(for_: list[Array], against: list[Array], rule: Rule, absent: list[str]) -> Status:
    """Supported in every case of the first, contradicted in every case of the second."""

    def claim(case: Array) -> tuple[Array, Array]:
        none = case[:, -1]
        return ratio.claim(case[:, :-1], none, rule.alpha, resolution=rule.resolution)

    if all(claim(x)[1] for x in against):
        return "contradicted"
    if not absent and all(claim(x)[0] for x in for_):
        return "supported"
    return "undecided"


def _spanning(
    found: SpreadRatio, cases: list[Array], alpha: float, resolution: float
) -> SpreadRatio:
    """With the interval over all cases; a case in which matching shows a loss leaves no bound."""
    others = [
        ratio.against_gain(x[:, :-1], x[:, -1], alpha, resolution=resolution).interval
        for x in cases
    ]
    known = [i for i in (found.interval, *others) if i is not None]
    if not known:
        return found
    high = max(i[1] for i in known) if len(known) == len(others) + 1 else np.inf
    return replace(found, interval=(min(i[0] for i in known), float(high)))


def more_seeds(scores: Array, none: Array, alpha: float, resolution: float = 0.0) -> int | None:
    """As for the other hypotheses, over the contrasts of every pair and the gain."""
    gain = scores.mean(axis=1) - none
    pairs = (scores @ contrasts(scores.shape[1]).T).T - SMALL * gain
    mean, sd = summary(pairs, resolution)
    gain_mean, gain_sd = (float(x) for x in summary(gain, resolution))
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
    """With one score an arm there is a number, and nothing to judge it by."""
    effect, seen = None, "no seed that all arms have"
    if len(none):
        means = scores.mean(axis=0)
        spread, gain = float(np.ptp(means)), float(means.mean() - none.mean())
        effect = spread / gain if gain > 0 else None
        digits = Digits.of(rule.margin, 0.0, spread, gain)
        seen = f"spread {digits.plain(spread)}, gain over no matching {digits.signed(gain)}"
    why = "without seeds nothing tells a ratio from noise"
    if rule.seeded:
        why = missing_piece(None, None, absent, rule) if absent else "too few seeds to judge it"
    return Hypothesis(
        "H3", *cell, "undecided", effect, None, None, len(none), SMALL, None, None, f"{seen}; {why}"
    )


def _says(
    status: Status, found: SpreadRatio, piece: str, lost: int, withheld: bool, margin: float
) -> str:
    digits = Digits.of(margin, 0.0, found.spread, found.gain)
    seen = (
        f"spread {digits.plain(found.spread)} against a gain of {digits.signed(found.gain)} over "
        f"{seeds(found.n)}{_bounds(found)}"
    )
    seen += f", with {lost} missing runs at the worst and the best score seen" if lost else ""
    if withheld:
        return f"withheld: {seen}; {piece}"
    if status == "supported":
        return f"the choice moves the score by less than {SMALL:g} of what matching brings: {seen}"
    if status == "contradicted":
        if found.interval is None:
            return f"matching brings nothing that the spread could be small against: {seen}"
        return f"the choice moves the score by more than {SMALL:g} of what matching brings: {seen}"
    return f"neither below nor above {SMALL:g} of what matching brings is shown: {seen}; {piece}"


def _bounds(found: SpreadRatio) -> str:
    if found.ratio is None:
        return ""
    shown = Digits.of(SMALL, 0.0, found.ratio, *(found.interval or ())).plain
    if found.interval is None:
        return f", ratio {shown(found.ratio)}"
    low, high = found.interval
    upper = shown(high) if np.isfinite(high) else "no bound"
    level = f"{100 * found.level:.3g} % interval"
    return f", ratio {shown(found.ratio)} ({shown(low)} to {upper}, {level})"
