"""H6: matching one teacher block moves a student towards the others too.

The paper's explanation of why the choice of layers may not matter, asked in two ways:
- Gradients: the hidden losses to a student block's own target and to another teacher block push the
  block's parameters the same way, through the training.
- Distances: students matched elsewhere gain R² on a teacher block, over students of `none`.

Both have a null that a student cannot fail by success. Gradients are compared with those to the
other block's states at other tokens, from the same student; means over the training are weighted by
the length of the own gradient, so that a student that has arrived counts for little. Distances are
compared with students that match nothing. Agreement, and the share of the gain that transfers, are
0 for an unrelated target and 1 for the target itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raykd.analysis.digits import Digits
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.scores.scores import NONE, CellName
from raykd.analysis.stats import paired
from raykd.analysis.stats.stages import FIRST
from raykd.analysis.verdict.context import GradientAgreement, Mechanism, Transfer
from raykd.analysis.verdict.imitation import StudentImitation
from raykd.analysis.verdict.verdict import Cell, Hypothesis, Status, Verdict

UNMEASURED = (
    "H6 is not measured: no run here has cosines of parameter gradients, which models of one stack "
    "log in training (docs/angles.md). The share of acute angles does not decide it"
)
NOTHING_HERE = "not measured: no matched student here has cosines of parameter gradients"

Interval = tuple[float, float]


@dataclass(frozen=True)
class _Test:
    """One comparison of H6: an effect against its margin, with p-values for and against."""

    strategy: str | None
    values: tuple[float, ...]
    margin: float
    says: str
    p_precondition: float = 0.0
    """The p-value of what must be shown besides, for either answer."""

    @property
    def effect(self) -> float:
        return float(np.mean(self.values))

    def interval(self, level: float) -> Interval | None:
        return _interval(self.values, level)

    def p_above(self) -> float:
        return max(self.p_precondition, _p_above(self.values, self.margin))

    def p_below(self) -> float:
        return max(self.p_precondition, _p_above([-v for v in self.values], -self.margin))


def add_mechanism(verdict: Verdict, students: Sequence[StudentImitation], margin: float) -> Verdict:
    """Return the verdict with H6 in each cell. If no gradients were measured, H6 is left out, and a
    note says that it is not measured."""
    if not any(s.cosines for s in students):
        return replace(verdict, notes=(*verdict.notes, UNMEASURED))
    alpha, judgement = verdict.at, verdict.judgement
    if judgement is not None and judgement.extend:  # H6 is not extended
        students = [s for s in students if s.seed in judgement.seeds[0]]
        alpha = FIRST * verdict.alpha
    cells = tuple(_with_h6(cell, students, margin, alpha) for cell in verdict.cells)
    return replace(verdict, cells=cells)


def _with_h6(cell: Cell, students: Sequence[StudentImitation], margin: float, alpha: float) -> Cell:
    here = of_cell(cell, students)
    tested = [s for s in here if s.strategy != NONE and not s.control and s.pairs]
    name = cell.name
    if not any(s.cosines for s in tested):
        h6 = Hypothesis(
            "H6", *name, "undecided", None, None, None, 0, margin, None, None, NOTHING_HERE
        )
        return replace(cell, hypotheses=(*cell.hypotheses, h6))
    agreements = {k: v for k, v in _agreements(tested).items() if v}
    transfers = _transfers(tested, [s for s in here if s.strategy == NONE], margin)
    level = 1 - 2 * alpha
    mechanism = Mechanism(
        margin, level,
        tuple(_agreement(key, values, level) for key, values in agreements.items()),
        tuple(_transfer(key, values, margin, level) for key, values in transfers.items()),
    )  # fmt: skip
    tests = [_of_gradients(a, agreements, margin) for a in mechanism.agreements]
    tests += [_of_distances(t, transfers, margin) for t in mechanism.transfers]
    lacking = [
        a.strategy for a in cell.arms
        if a.strategy != NONE and not a.control and a.seeds
        and not any(s.cosines for s in tested if s.strategy == a.strategy)
    ]  # fmt: skip
    h6 = _judge(tests, lacking, bool(transfers), alpha, name, margin)
    return replace(cell, hypotheses=(*cell.hypotheses, h6), mechanism=mechanism)


def of_cell(cell: Cell, students: Iterable[StudentImitation]) -> list[StudentImitation]:
    """Return the students of a cell; in the tuned cell, those at the weight that their strategy was
    tuned to. Students of `none` have no weight."""
    chosen = {a.strategy: a.chosen for a in cell.arms}
    weights = {s: w if cell.weight == TUNED else cell.weight for s, w in chosen.items()}
    return [
        s for s in students
        if s.cell[:3] == cell.name[:3] and s.cell[4] == cell.schedule and s.strategy in chosen
        and (s.strategy == NONE or s.cell[3] in ("", weights[s.strategy]))
    ]  # fmt: skip


Key = tuple[str, str | None, str]
"""A strategy, a student state, and a teacher state that is not its target."""


def _agreements(
    students: Sequence[StudentImitation],
) -> dict[Key, dict[int, tuple[float, float]]]:
    """Return (cosine, null) by seed. The blocks of a strategy whose map depends on the seed are
    averaged, since a pair occurs under some seeds only."""
    maps: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for s in students:
        maps.setdefault(s.strategy, set()).add(s.pairs)
    values: dict[Key, dict[int, list[tuple[float, float]]]] = {}
    for s in students:
        for (student, teacher), cosines in s.cosines.items():
            key = (s.strategy, student if len(maps[s.strategy]) == 1 else None, teacher)
            values.setdefault(key, {}).setdefault(s.seed, []).append(cosines)
    return {
        key: {seed: _mean_pair(pairs) for seed, pairs in by_seed.items()}
        for key, by_seed in values.items()
    }


def _mean_pair(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    cosine, null = np.mean(pairs, axis=0)
    return float(cosine), float(null)


def _above_null(cosine: float, null: float) -> float:
    return (cosine - null) / (1 - null) if null < 1 else 0.0


def _agreement(
    key: Key, by_seed: Mapping[int, tuple[float, float]], level: float
) -> GradientAgreement:
    values = [_above_null(*pair) for pair in by_seed.values()]
    cosine, null = _mean_pair([*by_seed.values()])
    return GradientAgreement(
        *key, cosine, null, float(np.mean(values)), _interval(values, level), len(values)
    )


def _of_gradients(
    a: GradientAgreement,
    by_key: Mapping[Key, Mapping[int, tuple[float, float]]],
    margin: float,
) -> _Test:
    pairs = by_key[a.strategy, a.student, a.teacher].values()
    block = "its student blocks" if a.student is None else f"student block {a.student}"
    return _Test(
        a.strategy, tuple(_above_null(*pair) for pair in pairs), margin,
        f"the gradients of {block} under {a.strategy} and towards teacher block {a.teacher} have "
        f"a cosine of {a.cosine:z.2f}, with an unrelated target {a.null:z.2f}: agreement "
        f"{a.agreement:z.2f}",
    )  # fmt: skip


Gains = dict[int, tuple[float, float]]
"""R² gained over `none` where matched and elsewhere, by seed."""


def _transfers(
    students: Sequence[StudentImitation], unmatched: Sequence[StudentImitation], margin: float
) -> dict[tuple[str, str], Gains]:
    """Return the gains by student and teacher state, over the seeds that have all three groups."""
    without = {s.seed: s.r2 for s in unmatched}
    groups: dict[tuple[str, str], dict[int, tuple[list[float], list[float]]]] = {}
    teachers = {t for s in students for _, t in s.pairs}
    for student in students:
        for state in dict.fromkeys(s for s, _ in student.pairs):
            targets = [t for s, t in student.pairs if s == state]
            for teacher in sorted(teachers, key=int):
                pair, none = (state, teacher), without.get(student.seed, {})
                if pair not in student.r2 or pair not in none:
                    continue
                gain = max(0.0, student.r2[pair]) - max(0.0, none[pair])
                by_seed = groups.setdefault(pair, {}).setdefault(student.seed, ([], []))
                by_seed[teacher not in targets].append(gain)
    complete = {
        pair: {
            seed: (float(np.mean(matched)), float(np.mean(elsewhere)))
            for seed, (matched, elsewhere) in by_seed.items()
            if matched and elsewhere
        }
        for pair, by_seed in groups.items()
    }
    return {pair: gains for pair, gains in complete.items() if gains}


def _transfer(key: tuple[str, str], gains: Gains, margin: float, level: float) -> Transfer:
    matched, elsewhere = np.array([*gains.values()]).T
    excess = elsewhere - margin * matched
    return Transfer(
        *key, float(matched.mean()), float(elsewhere.mean()), float(excess.mean()),
        _interval(excess, level), _p_above(matched, 0.0), len(gains),
    )  # fmt: skip


def _of_distances(t: Transfer, gains: Mapping[tuple[str, str], Gains], margin: float) -> _Test:
    values = (e - margin * m for m, e in gains[t.student, t.teacher].values())
    return _Test(
        None, tuple(values), 0.0,
        f"student block {t.student} gains {t.elsewhere:+z.2f} of R² on teacher block {t.teacher} "
        f"where it is matched elsewhere, {t.matched:+z.2f} where it is matched to it",
        p_precondition=t.p_gain,
    )  # fmt: skip


def _judge(
    tests: Sequence[_Test], lacking: Sequence[str], distances: bool, alpha: float,
    name: CellName, margin: float,
) -> Hypothesis:  # fmt: skip
    """Supported if every comparison is above its margin (all must pass, so no correction is due);
    contradicted if one is below it, by Bonferroni. Undecided otherwise, with an interval that holds
    the margin, or none."""
    above, below = ([getattr(t, f"p_{side}")() for t in tests] for side in ("above", "below"))
    supported, contradicted = paired.claim(np.array(above), np.array(below), alpha)
    corrected = 1 - 2 * alpha / len(tests)
    if contradicted:
        status: Status = "contradicted"
        test, level = tests[int(np.argmin(below))], corrected
    else:
        status = "supported" if supported and not lacking else "undecided"
        test = tests[int(np.argmax(above))]
        level = 1 - 2 * alpha if status == "supported" else corrected
    interval = test.interval(level)
    if status == "undecided" and interval and not interval[0] <= test.margin <= interval[1]:
        interval = None
    return Hypothesis(
        "H6", *name, status, test.effect, interval, level if interval else None, len(test.values),
        test.margin, None, test.strategy,
        _says(status, test, interval, level, [*lacking], distances, margin),
    )  # fmt: skip


def _says(
    status: Status, test: _Test, interval: Interval | None, level: float, lacking: Sequence[str],
    distances: bool, margin: float,
) -> str:  # fmt: skip
    share = f"at least {margin:g} as much as"
    answer = {
        "supported": f"matching one teacher block moves students towards the others {share} "
        "matching those",
        "contradicted": f"matching one teacher block does not move students towards every other "
        f"{share} matching that one",
        "undecided": "whether matching one teacher block moves students towards the others "
        f"{share} matching those is open",
    }[status]
    seeds = len(test.values)
    shown = ""
    if interval is not None:
        what = "the agreement" if test.strategy else f"that minus {margin:g} of this"
        low, high = map(Digits.of(margin, *interval).plain, interval)
        shown = f"; {what} {low} to {high}, {100 * level:.3g} % interval"
    over = f"{seeds} seeds" if seeds > 1 else "one seed, which shows no variance"
    evidence = f"{answer}: {test.says}{shown} ({over})"
    if lacking:
        evidence += f"; not measured: {', '.join(lacking)}"
    if not distances:
        evidence += "; distances are not compared, for lack of students of none or of other maps"
    return evidence


def _interval(values: Sequence[float] | np.ndarray, level: float) -> Interval | None:
    """Return the t interval over seeds; None for a single seed."""
    if len(values) < 2:
        return None
    mean, sd = paired.summary(values)
    low, high = paired.interval(mean, sd, len(values), level)
    return float(low), float(high)


def _p_above(values: Sequence[float] | np.ndarray, bound: float) -> float:
    """Return the one-sided p-value that the mean is above the bound; 1 for a single seed."""
    if len(values) < 2:
        return 1.0
    return float(paired.p_above(*paired.summary(values), len(values), bound))
