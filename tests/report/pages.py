"""A page with everything on it, judged from made-up scores: no training."""

from __future__ import annotations

from random import Random

from raykd.analysis.judge import judge
from raykd.analysis.landscape import Point, survey
from raykd.analysis.scores import Explored, Problem, Score, Scores
from raykd.analysis.verdict import Verdict
from raykd.layermap import STRATEGIES, LayerMap
from raykd.report.cost import Cost
from raykd.report.courses import Course
from raykd.report.maps import Drawn
from raykd.report.origin import Origin
from raykd.report.page import Page
from raykd.space import Space

TASK, TEACHER, STUDENT = "movie-reviews", 6, 3
INITS = ("copied [2, 4, 6]", "random")
GAINS = {"none": -5.0, "forward": 0.0, "reverse": 0.0, "all_to_one": 0.9, "random": -2.5,
         "best_1": 0.4, "untrained": -4.5}  # fmt: skip
BEST = LayerMap((5, 3, 6))


def scores(seeds: int = 6, noise: float = 0.4) -> Scores:
    """Reverse is forward's equal, random is worse by more than a point, the rest lie between."""
    rng = Random(1)
    common = [rng.gauss(0, 1) for _ in range(seeds)]  # what a seed does to every strategy
    items = tuple(
        Score(TASK, init, str(STUDENT), name, seed, "accuracy",
              80 + gain + common[seed] + rng.gauss(0, noise), map=f"map of {name}",
              control=name == "untrained")
        for init in INITS for name, gain in GAINS.items() for seed in range(seeds)
    )  # fmt: skip
    explored = tuple(
        Explored(TASK, INITS[0], str(STUDENT), str(m), score)
        for m, score in ((BEST, 83.0), (LayerMap((2, 4, 6)), 80.0), (LayerMap((1, 1, 1)), 79.0))
    )
    problem = Problem("failed", "all_to_one failed under seeds 9: diverged at step 12",
                      TASK, INITS[0], str(STUDENT), "all_to_one")  # fmt: skip
    return Scores(items, "accuracy", explored=explored, problems=(problem,), source="tiny")


def verdict() -> Verdict:
    return judge(scores(), 1.0, 0.05)


def table_page() -> Page:
    """Of scores alone, as from a table that a person typed."""
    origin = Origin(
        "raykd report --from scores.csv", "scores.csv", {}, None, "The table", "scores.csv"
    )
    return Page("scores.csv", "Scores from a table.", verdict(), origin)


def page(seeds: int = 6, evaluations: int = 4) -> Page:
    rng = Random(0)
    courses = tuple(
        Course(init, name, seed, tuple(
            (25 * i, 80 + gain - 20 / i + rng.gauss(0, 0.5)) for i in range(1, evaluations + 1)
        ))
        for init in INITS for name, gain in GAINS.items() for seed in range(seeds)
    )  # fmt: skip
    maps = tuple(
        Drawn(name, tuple(STRATEGIES[name](TEACHER, STUDENT, s) for s in range(seeds)))
        for name in GAINS
        if name in STRATEGIES
    )
    points = [Point(m, rng.gauss(80, 1) + 2 * (m.blocks[1] == 3)) for m in Space(TEACHER, STUDENT)]
    rng.shuffle(points)
    return Page(
        name="tiny",
        setting="movie-reviews; a teacher of 6 blocks, students of 3.",
        verdict=judge(scores(seeds), 1.0, 0.05),
        origin=Origin("raykd sweep tiny.yaml", "sqlite:///mlflow.db", {"torch": "2.13.0"},
                      "0123456789abcdef", "The sweep file", "name: tiny\n"),
        courses=courses,
        maps=(*maps, Drawn("best_1", (BEST,))),
        teacher_blocks=TEACHER,
        landscape=survey(TEACHER, points[:40], [[80.0, 80.9], [79.0, 80.0]]),
        costs=(Cost("confirm", "cpu", 84, 15.2, 410.0, 0.35),
               Cost("explore", "cuda", 40, 7.6, 405.0, 0.08)),
        missing=("The angles were not measured.",),
    )  # fmt: skip
