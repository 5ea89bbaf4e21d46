"""The paper's figure on made-up measurements, and whether angles predict gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.summary.acute_angles import add_angles, of, share_interval
from raykd.analysis.verdict.angles import Point, StudentAngles, points, predict, summary
from raykd.analysis.verdict.judge import judge as judge_scores
from raykd.training.angles.values import (
    BINS,
    VIEWS,
    Block,
    Measured,
    Pair,
    Thales,
    View,
    clustered,
    pairs,
)

from .. import made
from ..scores.test_loss_weights import ITEMS, judged

CELL = ("reviews", "copied", "3", "", "")
MAPS = {"forward": "[1, 2, 3]", "reverse": "[3, 2, 1]", "none": "[null, null, null]",
        "all_to_one": "[2, 2, 2]", "last": "[3, 3, 3]"}  # fmt: skip


def view(share: float, cosine: float = 0.1, effective: float = 500.0) -> View:
    return View(4000, share, clustered(share, effective, 256), effective, cosine)


def pair(first: int, second: int, shares: Mapping[str, float], cosine: float = 0.1) -> Pair:
    views = {name: view(shares.get(name, 0.5), cosine) for name in VIEWS}
    return Pair(
        first, second, views["raw"], views["centred"], views["gradient"], views["shuffled"],
        views["untrained"], Thales(1.2, (0.1, 0.05, 0.0)), (0,) * BINS, (0,) * BINS,
    )  # fmt: skip


def seen(
    strategy: str, seed: int, shares: Mapping[str, float], lowest: float | None = None,
    score: float = 80.0, cosines: Mapping[tuple[int, int], float] | None = None,
    control: bool = False,
) -> StudentAngles:  # fmt: skip
    """Three teacher blocks and three student blocks; the last pair of block 2 is the lowest."""
    blocks = tuple(
        Block(
            b,
            tuple(
                pair(
                    i, j,
                    {**shares, "raw": lowest}
                    if lowest is not None and (b, i, j) == (2, 2, 3) else shares,
                    (cosines or {}).get((i, j), 0.1),
                )
                for i, j in pairs(3)
            ),
            {v: (1,) * BINS for v in VIEWS},
        )
        for b in (1, 2, 3)
    )  # fmt: skip
    measured = Measured(12, "training", 256, 3, 32, "mse", blocks)
    return StudentAngles(
        *CELL[:3], strategy, seed, MAPS.get(strategy, "[1, 1, 1]"), score, measured, control
    )


def students(
    raw: float, shuffled: float, untrained: float, lowest: float | None = None, seeds: int = 5
) -> list[StudentAngles]:
    rng = np.random.default_rng(0)
    found = []
    for name in ("forward", "reverse"):
        for seed in range(seeds):
            off = float(rng.normal(0, 0.003))
            shares = {"raw": raw + off, "shuffled": shuffled, "untrained": untrained}
            found.append(seen(name, seed, shares, None if lowest is None else lowest + off))
    return found


def test_the_share_is_a_mean_with_its_lowest_pair() -> None:
    (share,) = of(students(0.9, 0.7, 0.8, lowest=0.3), 0.05).shares
    assert share.mean == pytest.approx((16 * 0.9 + 2 * 0.3) / 18, abs=0.01)
    assert (share.student, share.first, share.second, share.seeds) == (2, 2, 3, 5)
    assert share.lowest == pytest.approx(0.3, abs=0.01)
    assert share.interval[0] < share.lowest < share.interval[1]
    assert "the paper's own figure" in share.says and "lowest 30." in share.says
    (one,) = of(students(0.9, 0.7, 0.8, seeds=1), 0.05).shares
    assert "one seed, so over examples alone" in one.says


def test_arms_that_match_nothing_or_no_teacher_do_not_count() -> None:
    bad = {"raw": 0.1, "shuffled": 0.5, "untrained": 0.5}
    others = [seen("none", s, bad) for s in range(5)]
    others += [seen("untrained", s, bad, control=True) for s in range(5)]
    both, alone = (of(found, 0.05).shares for found in ([*students(0.9, 0.7, 0.8), *others],
                                                        students(0.9, 0.7, 0.8)))  # fmt: skip
    assert both == alone
    assert of(others, 0.05).shares == ()


def test_the_interval_adds_what_seeds_and_what_examples_bring() -> None:
    alike = share_interval([view(0.8)] * 5, 0.05)[1]
    spread = share_interval([view(s) for s in (0.6, 0.7, 0.8, 0.9, 1.0)], 0.05)[1]
    fewer = share_interval([view(0.8, effective=50)] * 5, 0.05)[1]
    width = [high - low for low, high in (alike, spread, fewer)]
    assert width[1] > 2 * width[0] and width[2] > 2 * width[0]
    # All seeds see the same examples: more seeds do not make them more.
    many = share_interval([view(0.8)] * 500, 0.05)[1]
    assert many[1] - many[0] == pytest.approx(2 * 1.648 * np.sqrt(0.16 / 500), rel=0.01)
    assert share_interval([view(1.0)] * 2, 0.05)[1][0] < 1


def test_angles_are_in_the_verdicts_json_and_decide_nothing() -> None:
    arms = {"none": [70, 71, 72], "forward": [80, 81, 82], "reverse": [80.1, 81.1, 81.9]}
    verdict = judge_scores(made.scores(arms))
    assert add_angles(verdict, ()) == verdict
    both = judge_scores(made.together(made.scores(arms), made.scores(arms, init="random")))
    found = add_angles(both, students(0.9, 0.7, 0.8))
    assert found.hypotheses == both.hypotheses
    told = found.to_json()["angles"]
    assert [share["init"] for share in told["shares"]] == ["copied"]
    assert len(told["blocks"]) == 6 and told["prediction"]["rho"] is None


def test_the_verdict_knows_which_arms_are_controls() -> None:
    arms = {"none": [70, 71, 72], "forward": [80, 81, 82], "reverse": [80, 81, 82],
            "strange": [75, 76, 77]}  # fmt: skip
    verdict = judge_scores(made.scores(arms, controls=["strange"]))
    odd = [seen("strange", s, {"raw": 0.1}) for s in range(3)]
    found = add_angles(verdict, [*students(0.9, 0.7, 0.8), *odd])
    assert found.angles is not None
    assert found.angles.shares[0].lowest > 0.8
    assert [b.control for b in found.angles.blocks if b.strategy == "strange"] == [True] * 3


def test_where_the_weight_is_a_factor_each_cell_has_the_students_of_its_own() -> None:
    """Acute at weight 1, not at 0.3; forward is tuned to the one and reverse to the other."""
    students_ = [
        replace(seen(name, seed, {"raw": raw, "shuffled": raw - 0.2, "untrained": raw - 0.1}),
                weight=weight)
        for name in ("forward", "reverse")
        for seed in range(4)
        for weight, raw in (("1", 0.9), ("0.3", 0.3))
    ]  # fmt: skip
    found = add_angles(judged(ITEMS), students_)
    assert found.angles is not None
    shares = {s.weight: s for s in found.angles.shares}
    means = {weight: share.mean for weight, share in shares.items()}
    assert means == pytest.approx({"1": 0.9, "0.3": 0.3, TUNED: 0.6}, abs=0.01)
    assert shares[TUNED].strategy == "reverse"
    tuned = {b.strategy: b.raw for b in found.angles.blocks if b.weight == TUNED}
    assert tuned == pytest.approx({"forward": 0.9, "reverse": 0.3}, abs=0.01)


def test_a_row_for_each_strategy_and_block() -> None:
    rows = summary(students(0.9, 0.7, 0.8, lowest=0.4))
    assert [(r.strategy, r.student, r.seeds) for r in rows] == [
        (name, b, 5) for name in ("forward", "reverse") for b in (1, 2, 3)
    ]
    second = rows[1]
    assert (second.first, second.second) == (2, 3)
    assert second.lowest == pytest.approx(0.4, abs=0.01)
    assert second.raw == pytest.approx((0.9 + 0.9 + 0.4) / 3, abs=0.01)


# Do angles predict gaps?


def test_the_angle_between_two_maps_by_hand() -> None:
    """Forward and reverse differ in blocks 1 and 3 (teacher blocks 1 and 3, 60 degrees there) and
    agree in the second; none has no map."""
    cosines = {(1, 3): 0.5, (1, 2): 0.0, (2, 3): 0.0}
    found = points(
        [
            seen("forward", 0, {}, score=80, cosines=cosines),
            seen("forward", 1, {}, score=82, cosines=cosines),
            seen("reverse", 0, {}, score=81, cosines=cosines),
            seen("reverse", 1, {}, score=82, cosines=cosines),
            seen("none", 0, {}, score=60, cosines=cosines),
        ]
    )
    assert [(p.first, p.second) for p in found] == [("forward", "reverse")]
    assert found[0].angle == pytest.approx((60 + 0 + 60) / 3)
    assert found[0].gap == pytest.approx(0.5)


def made_points(gap_of: Sequence[float], angle_of: Sequence[float]) -> list[Point]:
    """Strategies at places on two lines; gaps and angles are distances between them."""
    return [
        Point(*CELL, f"s{i}", f"s{j}", abs(angle_of[i] - angle_of[j]), abs(gap_of[i] - gap_of[j]))
        for i, j in combinations(range(len(gap_of)), 2)
    ]


def test_angles_that_predict_gaps_are_found_to() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 60, 7)
    found = predict(made_points(angles + rng.normal(0, 3, 7), angles), 0.05)
    assert found.status == "supported" and found.rho is not None and found.rho > 0.8
    assert found.interval is not None and 0 < found.interval[0] < found.rho < found.interval[1]
    assert found.strategies == 7 and "21 pairs of 7 strategies" in found.says


def test_unrelated_angles_are_seldom_said_to_predict() -> None:
    """At alpha 0.05 a side, over 400 made-up sweeps of 6 strategies."""
    rng = np.random.default_rng(1)
    said = [
        predict(made_points(rng.normal(size=6).tolist(), rng.normal(size=6).tolist()), 0.05).status
        for _ in range(400)
    ]
    assert said.count("supported") / 400 < 0.12 and said.count("contradicted") / 400 < 0.12


def test_too_few_strategies_say_nothing() -> None:
    found = predict(made_points([0, 1, 2], [0, 1, 2]), 0.05)
    assert found.status == "undecided" and found.interval is None and "too few" in found.says
    assert predict([], 0.05).rho is None
