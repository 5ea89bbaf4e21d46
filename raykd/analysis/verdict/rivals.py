"""The arms of a cell, with their missing and collapsed runs, and those that are not under test:
controls, sampled maps and explored maps."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from raykd.analysis.scores import missing
from raykd.analysis.scores.missing import Expected
from raykd.analysis.scores.scores import FORWARD, NONE, SAMPLED, CellName, Score, Scores, is_sampled
from raykd.analysis.stats import collapse, variance
from raykd.analysis.stats.search import importance, winners_curse
from raykd.analysis.stats.search.importance import Landscape
from raykd.analysis.stats.search.winners_curse import Curse
from raykd.analysis.stats.variance import Sampled
from raykd.analysis.verdict.compare import Rule, matrix, to_reference
from raykd.analysis.verdict.verdict import Arm, Cell, Comparison, Controls, Status

ByArm = Mapping[str, Mapping[int, Score]]
MATCHING = "matching"


def by_arm(scores: Scores, cell: CellName) -> ByArm:
    """Return the scores of a cell by strategy and seed: none, forward, other strategies by name,
    sampled maps, controls."""
    arms: dict[str, dict[int, Score]] = {}
    for score in scores.items:
        if score.cell == cell:
            arms.setdefault(score.strategy, {})[score.seed] = score
    order = sorted(arms, key=lambda a: (*untested(arms[a]), a != NONE, a != FORWARD, a))
    return {name: arms[name] for name in order}


def untested(arm: Mapping[int, Score]) -> tuple[bool, bool]:
    """Return (control, sampled): whether an arm is a control, and whether its map is sampled."""
    first = next(iter(arm.values()))
    return first.control, first.sampled


def arms_of(
    scores: Scores, cell: CellName, arms: ByArm, expected_runs: Expected, rule: Rule
) -> tuple[Arm, ...]:
    """Return every arm with its missing and collapsed runs."""
    if not scores.seeded:
        return tuple(_arm(name, arm) for name, arm in arms.items())
    table = missing.matrix(arms, expected_runs, rule.sign)
    order = sorted(frozenset().union(*expected_runs.seeds.values()))
    is_collapsed = collapse.far_below(table, rule.margin) | collapse.apart(table, rule.margin)
    if scores.majority is not None:
        constant = rule.sign * scores.majority
        is_collapsed = is_collapsed | (table <= constant + scores.resolution / 2)
    result = []
    for column, (name, arm) in enumerate(arms.items()):
        lacking = tuple(sorted(expected_runs.seeds[name] - arm.keys()))
        failed = missing.lost_seeds(scores, cell, name)
        collapsed = tuple(s for s, flag in zip(order, is_collapsed[:, column], strict=True) if flag)
        result.append(
            replace(
                _arm(name, arm), missing=lacking, failed=tuple(s for s in lacking if s in failed),
                collapsed=collapsed,
                collapse_bound=collapse.upper_bound(len(collapsed), len(arm)),
            )
        )  # fmt: skip
    return tuple(result)


def with_counts(cell: Cell) -> Cell:
    """Add the counts of missing and collapsed runs over the arms."""
    return replace(
        cell,
        lost=collapse.lost(
            {a.strategy: (len(a.missing), len(a.missing) + len(a.seeds)) for a in cell.arms}
        ),
        collapses=collapse.collapses(
            {a.strategy: (len(a.collapsed), len(a.seeds)) for a in cell.arms},
            [a.strategy for a in cell.arms if a.control],
        ),
    )


def _arm(name: str, arm: Mapping[int, Score]) -> Arm:
    seeds = tuple(sorted(arm))
    values = tuple(arm[s].score for s in seeds)
    choices = tuple(arm[s].chosen for s in seeds)
    return Arm(
        strategy=name,
        control=untested(arm)[0],
        chosen=statistics.mode(choices),
        choices=choices if any(choices) else (),
        maps=tuple(dict.fromkeys(arm[s].map for s in seeds if arm[s].map)),
        seeds=seeds,
        scores=values,
        mean=statistics.fmean(values),
        sd=statistics.stdev(values) if len(values) > 1 else None,
    )


def weight_of(arm: Arm, seed: int) -> str:
    """Return the hidden weight that was chosen for a seed of an arm, or an empty string."""
    return dict(zip(arm.seeds, arm.choices, strict=False)).get(seed, "")


def tuned_to(arm: Arm) -> str:
    """Return the chosen weights of an arm in words: one, or that of most seeds and their number."""
    if not arm.chosen or len(set(arm.choices)) == 1:
        return arm.chosen
    return f"{arm.chosen} ({arm.choices.count(arm.chosen)} of {len(arm.choices)} seeds)"


def controls(
    arms: ByArm, tested: ByArm, rule: Rule, expected_runs: Expected, absent: Sequence[str] = ()
) -> Controls | None:
    """Compare the mean of the strategies under test, seed by seed, with each control.

    A gain over `none` alone could come from any regulariser, so it says little about the teacher's
    layers. `absent`: expected controls and strategies without a score."""
    control_arms = {a: s for a, s in arms.items() if next(iter(s.values())).control}
    seeds, table = matrix(list(tested.values()), 1)
    if not control_arms or not seeds:
        return None
    first = next(iter(tested.values()))
    mean = {
        s: replace(first[s], strategy=MATCHING, score=float(row.mean()), ids=None, correct=None)
        for s, row in zip(seeds, table, strict=True)
    }
    shared = [(MATCHING, mean, a, s) for a, s in control_arms.items() if s.keys() & mean.keys()]
    if not shared:
        return None
    absent = [*absent, *(a for a in control_arms if not any(a == s[2] for s in shared))]
    expected_runs = _of_the_mean(tested, expected_runs, rule.sign)
    pairs = to_reference(shared, rule, expected_runs, complete=not absent)
    status, says = _of_controls(pairs, absent)
    return Controls(status, pairs, says)


def _of_the_mean(tested: ByArm, expected_runs: Expected, sign: int) -> Expected:
    """Add the seeds that the mean of the strategies should have, and the range of each of its
    missing values, which follows from the ranges of the missing runs."""
    seeds = frozenset().union(*(expected_runs.seeds[a] for a in tested))
    ranges = {}
    for seed in seeds:
        worst, best = np.mean(
            [
                [sign * arm[seed].score] * 2 if seed in arm else expected_runs.range(a, seed)
                for a, arm in tested.items()
            ],
            axis=0,
        )
        ranges[MATCHING, seed] = (float(worst), float(best))
    return replace(expected_runs, seeds={**expected_runs.seeds, MATCHING: seeds}, bounds=ranges)


def _of_controls(pairs: Sequence[Comparison], absent: Sequence[str]) -> tuple[Status, str]:
    """Return the status and its sentence. "Better than every control" is an intersection-union
    claim; "worse than some control" uses Holm-adjusted p-values."""
    beaten = [c.reference for c in pairs if c.finding == "better"]
    ahead = [c.reference for c in pairs if c.finding == "worse"]
    if ahead:
        return "contradicted", f"matching is worse than {', '.join(ahead)}"
    if absent:
        return "undecided", (
            f"no paired score of {', '.join(absent)}, without which nothing is said of all"
        )
    if len(beaten) == len(pairs):
        return "supported", f"matching beats every control ({', '.join(beaten)})"
    left = [c.reference for c in pairs if c.finding == "undecided"]
    lost = {s for c in pairs if c.missing for s in c.missing.seeds}
    why = f", missing runs of {len(lost)} seeds taken at their worst" if lost else ""
    return "undecided", f"that matching beats {', '.join(left)} is not shown{why}"


def sampled_maps(arms: ByArm, rule: Rule) -> Sampled | None:
    """Test whether the map matters, over the arms with sampled maps. The noise comes from maps
    trained under several seeds, or else from the arms with a fixed map."""
    tested = {a: arm for a, arm in arms.items() if not next(iter(arm.values())).control}
    names = [a for a in tested if is_sampled(a)] or [a for a in tested if a == SAMPLED]
    scores = [s for a in names for s in tested[a].values()]
    by_map: dict[str, dict[int, Score]] = {}
    for score in scores:
        by_map.setdefault(score.map, {})[score.seed] = score
    if len(by_map) < 2:
        return None
    seeds, table = matrix(list(by_map.values()), rule.sign)
    if len(seeds) > 1:
        return variance.sampled(table.T, None, rule.alpha)
    fixed = [
        arm for a, arm in tested.items()
        if not a.startswith(SAMPLED) and len({s.map for s in arm.values()}) == 1
    ]  # fmt: skip
    one_per_seed = next((arm for a, arm in tested.items() if a == SAMPLED), None)
    if one_per_seed is None or len(fixed) < 2:
        return None
    seeds, table = matrix([*fixed, one_per_seed], rule.sign)
    if len(seeds) < 2:
        return None
    return variance.sampled(table[:, -1], table[:, :-1].T, rule.alpha)


def curses(
    scores: Scores,
    cell: CellName,
    tested: ByArm,
    to_forward: Sequence[Comparison],
    rule: Rule,
) -> tuple[Curse, ...]:
    """Return the winner's curse of every confirmed explored map, under the init of the search."""
    tried = [e for e in scores.explored if e.cell == cell]
    explored = {e.map: e.score for e in tried}
    searched = {e.steps for e in tried}
    forward_map = next((s.map for s in tested.get(FORWARD, {}).values()), "")
    result = []
    for pair in to_forward:
        if not pair.strategy.startswith("best_"):
            continue
        layer_map = next(iter(tested[pair.strategy].values())).map
        trained = {s.steps for a in (pair.strategy, FORWARD) for s in tested[a].values()}
        if layer_map in explored:
            result.append(
                winners_curse.winner(
                    pair.strategy, layer_map, explored, forward_map, pair.differences,
                    sign=rule.sign, alpha=rule.alpha, margin=rule.margin,
                    resolution=rule.resolution, steps=(_only(searched), _only(trained)),
                )
            )  # fmt: skip
    return tuple(result)


def _only(steps: set[int | None]) -> int | None:
    """Return the number of steps if all trainings had the same."""
    return next(iter(steps)) if len(steps) == 1 else None


def explored_maps(scores: Scores, cell: CellName, tested: ByArm, rule: Rule) -> Landscape | None:
    """Return the landscape of the maps that the search tried under the init of this cell."""
    explored = {e.map: e.score for e in scores.explored if e.cell == cell}
    forward = next((s.map for s in tested.get(FORWARD, {}).values()), "")
    if not explored or not forward:
        return None
    fixed = [arm for arm in tested.values() if len({s.map for s in arm.values()}) == 1]
    select_scores = [
        {seed: replace(s, score=s.select) for seed, s in arm.items() if s.select is not None}
        for arm in fixed
    ]
    _, table = matrix(select_scores, rule.sign)
    return importance.landscape(explored, forward, table, rule.sign)
