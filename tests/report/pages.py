"""A page with everything on it, of made-up numbers: no training."""

from __future__ import annotations

import statistics
from random import Random

from raykd.analysis.curse import Curse
from raykd.analysis.gap import Gap
from raykd.analysis.landscape import Point, survey
from raykd.analysis.scores import Problem
from raykd.analysis.variance import Share, Shares
from raykd.analysis.verdict import Arm, Cell, Comparison, Finding, Hypothesis, Verdict
from raykd.layermap import STRATEGIES, LayerMap
from raykd.report.cost import Cost
from raykd.report.courses import Course
from raykd.report.maps import Drawn
from raykd.report.origin import Origin
from raykd.report.page import Page
from raykd.space import Space

TEACHER, STUDENT, SEEDS = 6, 3, 5
NAMES = ("none", "forward", "reverse", "all_to_one", "random", "best_1")
GAINS = {"none": -3.0, "forward": 0.0, "reverse": -0.2, "all_to_one": 0.9, "random": -2.6,
         "best_1": 0.4}  # fmt: skip
FOUND: dict[str, Finding] = {
    "reverse": "equivalent", "all_to_one": "undecided", "random": "different",
    "best_1": "undecided",
}  # fmt: skip


def arm(strategy: str, rng: Random) -> Arm:
    scores = tuple(80 + GAINS[strategy] + rng.gauss(0, 0.6) for _ in range(SEEDS))
    return Arm(strategy, False, ("[2, 4, 6]",), tuple(range(SEEDS)), scores,
               statistics.fmean(scores), statistics.stdev(scores))  # fmt: skip


def comparison(strategy: str, arms: dict[str, Arm]) -> Comparison:
    pairs = zip(arms[strategy].scores, arms["forward"].scores, strict=True)
    differences = tuple(a - b for a, b in pairs)
    effect, sd = statistics.fmean(differences), statistics.stdev(differences)
    return Comparison(strategy, "forward", FOUND[strategy], effect, sd,
                      (effect - 0.95 * sd, effect + 0.95 * sd), 0.9, SEEDS, tuple(range(SEEDS)),
                      differences, p_tost=0.03, p_tost_holm=0.06)  # fmt: skip


def cell(init: str, seed: int) -> Cell:
    rng = Random(seed)
    arms = {name: arm(name, rng) for name in NAMES}
    compared = tuple(comparison(name, arms) for name in FOUND)
    hypotheses = tuple(
        Hypothesis(name, "movie-reviews", init, "3", status, effect, interval, 0.9, SEEDS, margin,  # type: ignore[arg-type]
                   more, strategy, says)
        for name, status, effect, interval, margin, more, strategy, says in (
            ("H1", "contradicted", -2.6, (-3.3, -1.9), 1.0, None, "random",
             "random lies 2.6 below forward."),
            ("H2", "supported", 0.4, (0.1, 0.7), 0.0, None, "random", "All do."),
            ("H3", "undecided", 0.8, None, 1.0, 7, None, "The ratio cannot be told yet."),
            ("H5", "undecided", 0.9, (-float("inf"), 1.6), 1.0, 4, "all_to_one",
             "all_to_one may beat forward by more than 1."),
        )
    )  # fmt: skip
    return Cell(
        "movie-reviews", init, "3", tuple(arms.values()), hypotheses, compared, (),
        Gap("all_to_one", "random", 3.5, (2.1, 4.9), 0.95, SEEDS, 5), None,
        Shares((Share("map", 1.2, 0.6, (0.3, 0.8)), Share("seed", 0.8, 0.4, (0.2, 0.7))), 0.001,
               0.9, 5, SEEDS, 1),
        None,
        (Curse("best_1", "[5, 3, 6]", 84.0, "forward", 2.5, 0.4, (-0.4, 1.2), 2.1, SEEDS, None,
               "best_1 promised 2.5 and kept 0.4."),),
        None, (Problem("failed", "reverse, seed 4 failed: diverged at step 12"),),
    )  # fmt: skip


def page() -> Page:
    rng = Random(0)
    inits = ("copied [2, 4, 6]", "random")
    verdict = Verdict("tiny", "accuracy", True, 1.0, 0.05, tuple(
        cell(init, i) for i, init in enumerate(inits)
    ))  # fmt: skip
    courses = tuple(
        Course(init, name, seed, tuple(
            (step, 80 + GAINS[name] - 20 / step**0.5 + rng.gauss(0, 0.5))
            for step in (25, 50, 75, 100)
        ))
        for init in inits for name in NAMES for seed in range(SEEDS)
    )  # fmt: skip
    maps = tuple(
        Drawn(name, tuple(STRATEGIES[name](TEACHER, STUDENT, s) for s in range(SEEDS)))
        for name in NAMES
        if name in STRATEGIES
    ) + (Drawn("best_1", (LayerMap((5, 3, 6)),)),)
    points = [Point(m, rng.gauss(80, 1) + 2 * (m.blocks[1] == 3)) for m in Space(TEACHER, STUDENT)]
    rng.shuffle(points)
    return Page(
        name="tiny",
        setting="movie-reviews, a teacher of 6 blocks, students of 3.",
        verdict=verdict,
        origin=Origin("raykd sweep tiny.yaml", "sqlite:///mlflow.db", {"torch": "2.13.0"},
                      "0123456789abcdef", "name: tiny\n"),
        courses=courses,
        maps=maps,
        teacher_blocks=TEACHER,
        landscape=survey(TEACHER, points[:60], [[80.0, 80.9], [79.0, 80.0]]),
        costs=(Cost("confirm", "cpu", 60, 15.2, 410.0, 0.25),
               Cost("explore", "cpu", 60, 7.6, 405.0, 0.13)),
        missing=("Angles were not measured.",),
    )  # fmt: skip
