"""Paired comparisons of one cell: every strategy to forward, to none, and to its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raykd.analysis.scores.answers import aligned, one_set
from raykd.analysis.scores.missing import Expected
from raykd.analysis.scores.scores import Score
from raykd.analysis.stats.examples import mcnemar, two_level
from raykd.analysis.stats.margins import probabilities
from raykd.analysis.stats.paired import holm, last_step, summary
from raykd.analysis.stats.sequential import Look
from raykd.analysis.stats.stages import above, below, beyond, interval, within
from raykd.analysis.verdict.verdict import Case, Comparison, Finding, Missing

Arm = Mapping[int, Score]
"""One strategy's scores, by seed."""
Test = Callable[[Case], float]
"""case -> p-value"""


@dataclass(frozen=True)
class Rule:
    """Criteria for judging a cell. `sign` is -1 if smaller scores are better; `alpha` is that of
    the look if the sweep has looks."""

    margin: float
    alpha: float
    sign: int = 1
    resolution: float = 0.0
    seeded: bool = True
    look: Look | None = None
    majority: float | None = None
    """Test score of the majority class, or of another best constant answer, if it is known."""
    stages: tuple[frozenset[int], ...] = ()
    """The first seeds and the added ones, if the tests combine both."""
    later: float | None = None
    """Level at which added seeds would be judged, if it is not alpha."""
    constant: str = "majority class"
    """The best constant answer in sentences."""

    def learned_nothing(self, arm: Mapping[int, Score]) -> bool:
        """Whether no run of an arm is better than the majority class."""
        if self.majority is None:
            return False
        limit = self.sign * self.majority + self.resolution / 2
        return all(self.sign * s.score <= limit for s in arm.values())


def to_forward(
    arms: Mapping[str, Arm],
    forward: Arm,
    rule: Rule,
    expected_runs: Expected,
    complete: bool = True,
) -> tuple[Comparison, ...]:
    """Compare each strategy with forward: equivalent, different or undecided at the margin.
    `complete`: whether `arms` holds every strategy that the claim covers."""
    pairs = [(name, arm, "forward", forward) for name, arm in arms.items()]
    comparisons = [compare(*arms, rule, expected_runs) for arms in pairs]
    p_for = _p_values(comparisons, lambda case: within(case, rule.margin), supporting)
    p_against = _p_values(comparisons, lambda case: beyond(case, rule.margin), opposing)
    settled = _settle(comparisons, p_for, p_against, ("equivalent", "different"), 2, rule, complete)
    return tuple(
        c if c.sd is None else replace(
            c, p_tost=a[0], p_tost_holm=a[1], p_beyond=b[0], p_beyond_holm=b[1],
            probabilities=probabilities(c.effect, c.sd, c.n, rule.margin),
        )
        for c, a, b in zip(_populations(settled, pairs), p_for, p_against, strict=True)
    )  # fmt: skip


def to_reference(
    pairs: Sequence[tuple[str, Arm, str, Arm]],
    rule: Rule,
    expected_runs: Expected,
    complete: bool = True,
) -> tuple[Comparison, ...]:
    """Compare each (name, arm) with its (reference, arm): better, worse or undecided. `complete`:
    as for `to_forward`."""
    comparisons = [compare(*arms, rule, expected_runs) for arms in pairs]
    p_for = _p_values(comparisons, lambda case: above(case, 0.0), supporting)
    p_against = _p_values(comparisons, lambda case: below(case, 0.0), opposing)
    settled = _settle(comparisons, p_for, p_against, ("better", "worse"), 1, rule, complete)
    return tuple(
        c if c.sd is None else replace(
            c, p_better=a[0], p_better_holm=a[1], p_worse=b[0], p_worse_holm=b[1]
        )
        for c, a, b in zip(_populations(settled, pairs), p_for, p_against, strict=True)
    )  # fmt: skip


def as_seen(c: Comparison) -> tuple[Case, ...]:
    """Return the comparison over its finished pairs, or nothing without an SD."""
    return () if c.sd is None else (Case(c.effect, c.sd, c.n, c.stages),)


def supporting(c: Comparison) -> tuple[Case, ...]:
    """Return the cases in which a claim must hold to be supported."""
    lost = c.missing
    return (*as_seen(c), *((lost.low, lost.high) if lost and c.sd is not None else ()))


def opposing(c: Comparison) -> tuple[Case, ...]:
    """Return the cases in which a claim must be refuted to be contradicted."""
    lost = c.missing
    return (*as_seen(c), *((lost.failed,) if lost and c.sd is not None else ()))


Cases = Callable[[Comparison], tuple[Case, ...]]


def p_value(c: Comparison, test: Test, cases: Cases) -> float:
    """Return the largest p-value over the cases, or 1 without a variance to test with."""
    return max((test(case) for case in cases(c)), default=1.0)


def bounds(c: Comparison, level: float, cases: Cases) -> tuple[float, float] | None:
    """Return the union of the cases' intervals at a level, or None without variance."""
    intervals = [interval(case, level) for case in cases(c)]
    if not intervals:
        return None
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def every_case(c: Comparison) -> tuple[Case, ...]:
    return (*supporting(c), *opposing(c))


def _p_values(pairs: Sequence[Comparison], test: Test, cases: Cases) -> list[tuple[float, float]]:
    """Return (p, Holm-adjusted p) of each comparison. A comparison without variance has p = 1 and
    counts for the adjustment."""
    if not pairs:
        return []
    p = np.array([p_value(c, test, cases) for c in pairs])
    return [(float(a), float(b)) for a, b in zip(p, holm(p), strict=True)]


def _settle(
    pairs: Sequence[Comparison],
    p_for: Sequence[tuple[float, float]],
    p_against: Sequence[tuple[float, float]],
    names: tuple[Finding, Finding],
    sides: int,
    rule: Rule,
    complete: bool,
) -> list[Comparison]:
    """Return the comparisons with findings, p-values and intervals at the level of the finding.

    Holm's procedure stops at one level per family, which separates its findings from the rest. An
    undecided comparison is shown at the stricter of the two levels, where neither finding holds.
    """
    if not pairs:
        return []
    raw = [a for a, _ in p_for]
    all_pass = complete and max(raw) <= rule.alpha
    for_level = rule.alpha if all_pass else last_step(raw, rule.alpha)
    against_level = last_step([b for b, _ in p_against], rule.alpha) / sides
    result = []
    for c, (a, a_holm), (_, b_holm) in zip(pairs, p_for, p_against, strict=True):
        if all_pass or a_holm <= rule.alpha:
            finding, level, p, cases = (
                names[0],
                1 - 2 * for_level,
                a if all_pass else a_holm,
                supporting,
            )
        elif b_holm <= rule.alpha:
            finding, level, p, cases = names[1], 1 - 2 * against_level, b_holm, opposing
        else:
            finding, level, p, cases = (
                "undecided",
                1 - 2 * min(for_level, against_level),
                a_holm,
                every_case,
            )
        result.append(
            replace(
                c, finding=finding, level=level, p_value=None if c.sd is None else p,
                interval=bounds(c, level, cases),
            )
        )  # fmt: skip
    return result


def _populations(
    settled: Sequence[Comparison], pairs: Sequence[tuple[str, Arm, str, Arm]]
) -> list[Comparison]:
    """Add the intervals over test examples, where the answers to every example are known."""
    result = []
    for c, (_, arm, _, base) in zip(settled, pairs, strict=True):
        answered = [s for s in c.seeds if aligned(arm[s], base[s])]
        shares = any(arm[s].correct.dtype != bool for s in answered)  # type: ignore[union-attr]
        means = bool(answered) and (shares or arm[answered[0]].metric == "accuracy")
        if len(answered) == c.n > 1 and means and one_set(arm, c.seeds):
            answers = [[a[s].correct for s in c.seeds] for a in (arm, base)]
            c = replace(c, population=two_level(answers[0], answers[1], c.level))
        result.append(c)
    return result


def compare(
    name: str, arm: Arm, reference: str, base: Arm, rule: Rule, expected_runs: Expected
) -> Comparison:
    """Return the comparison of two arms, without a finding."""
    seeds = tuple(sorted(arm.keys() & base.keys()))
    d = np.array([rule.sign * (arm[s].score - base[s].score) for s in seeds])
    identical = _identical(arm, base, seeds)
    case = _case(d, seeds, rule, identical)
    used = (case, *case.stages[:1], *(c for c in case.stages[1:] if c.n))
    testable = all(c.sd > 0 or (identical and c.n > 1) for c in used)
    learned_nothing = rule.learned_nothing(arm) and rule.learned_nothing(base)
    counted = [
        s for s in seeds
        if aligned(arm[s], base[s]) and arm[s].correct.dtype == bool  # type: ignore[union-attr]
    ]  # fmt: skip
    return Comparison(
        strategy=name,
        reference=reference,
        finding="undecided",
        effect=float(d.mean()) if len(d) else float("nan"),
        sd=case.sd if testable and not learned_nothing else None,
        stages=case.stages if testable and not learned_nothing else (),
        interval=None,
        level=1 - 2 * rule.alpha,
        n=len(seeds),
        seeds=seeds,
        differences=tuple(map(float, d)),
        mcnemar=tuple(mcnemar(s, arm[s].correct, base[s].correct) for s in counted),
        missing=_missing(name, arm, reference, base, rule, expected_runs),
    )


def _case(
    differences: np.ndarray, seeds: Sequence[int], rule: Rule, identical: bool = False
) -> Case:
    """Return the differences, and those of each stage if stages are combined; an SD of NaN for
    fewer than two."""

    def case(d: np.ndarray) -> Case:
        mean, sd = summary(d, rule.resolution, identical) if len(d) > 1 else (np.nan, np.nan)
        return Case(float(mean), float(sd), len(d))

    stages = [case(differences[[s in stage for s in seeds]]) for stage in rule.stages]
    return replace(case(differences), stages=tuple(stages))


def _identical(arm: Arm, base: Arm, seeds: Sequence[int]) -> bool:
    """Whether both arms are the same trainings: one map and equal scores under every seed."""
    return bool(seeds) and all(
        arm[s].map == base[s].map != "" and arm[s].score == base[s].score
        and arm[s].control == base[s].control
        for s in seeds
    )  # fmt: skip


def _missing(
    name: str, arm: Arm, reference: str, base: Arm, rule: Rule, expected_runs: Expected
) -> Missing | None:
    expected_seeds = expected_runs.seeds[name] & expected_runs.seeds[reference]
    lacking = tuple(sorted(s for s in expected_seeds if s not in arm or s not in base))
    seeds = sorted({*lacking, *(arm.keys() & base.keys())})
    first, *added = [stage & {*seeds} for stage in rule.stages or (frozenset(seeds),)]
    if not lacking or len(first) < 2 or any(len(stage) == 1 for stage in added):
        return None

    def case(arm_end: int, base_end: int) -> Case:
        """Fill missing runs of each arm with their worst (0) or best (1) score."""
        differences = [
            (rule.sign * arm[s].score if s in arm else expected_runs.range(name, s)[arm_end])
            - (
                rule.sign * base[s].score
                if s in base
                else expected_runs.range(reference, s)[base_end]
            )
            for s in seeds
        ]
        return _case(np.array(differences), seeds, rule)

    return Missing(lacking, low=case(0, 1), high=case(1, 0), failed=case(0, 0))


def matrix(arms: Sequence[Arm], sign: int) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the common seeds of all arms, and their scores [seeds, arms]; larger is better."""
    if not arms:
        return (), np.zeros((0, 0))
    seeds = tuple(sorted(set.intersection(*(set(arm) for arm in arms))))
    return seeds, np.array([[sign * arm[s].score for arm in arms] for s in seeds]).reshape(
        len(seeds), len(arms)
    )
