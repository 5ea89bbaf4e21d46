"""A page with everything on it, judged from made-up scores: no training."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from raykd.analysis.claims.stated import of_text
from raykd.analysis.scores.scores import Explored, Problem, Score, Scores
from raykd.analysis.summary.published import compare_published
from raykd.analysis.verdict.context import TeacherScore
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Verdict
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap
from raykd.maps.strategies import STRATEGIES
from raykd.report.curve_figures import Course
from raykd.report.map_figures import Drawn
from raykd.report.page import Cost, Origin, Page, Runs
from raykd.report.search_figures import ExploredMap
from raykd.search.space import Space

TASK, TEACHER, STUDENT = "movie-reviews", 6, 3
SERVER = "https://mlflow.example"
INITS = ("copied [2, 4, 6]", "random")
GAINS = {"none": -5.0, "forward": 0.0, "reverse": 0.0, "all_to_one": 0.9, "random": -2.5,
         "best_1": 0.4, "untrained": -4.5}  # fmt: skip
TEACHER_SCORE = TeacherScore("", "accuracy", test=82.34, select=83.1, majority=51.2)
BEST = LayerMap((5, 3, 6))
MAPS = {"forward": "[2, 4, 6]", "reverse": "[6, 4, 2]", "all_to_one": "[3, 3, 3]",
        "best_1": str(BEST)}  # fmt: skip


def tried() -> tuple[ExploredMap, ...]:
    """40 maps and forward's; those in which student block 2 imitates block 3 are better."""
    rng = Random(0)
    maps = rng.sample(list(Space(TEACHER, STUDENT)), 40)
    maps = [*dict.fromkeys([BEST, *maps, LayerMap((2, 4, 6))])]
    return tuple(ExploredMap(str(m), rng.gauss(80, 1) + 2 * (m.blocks[1] == 3)) for m in maps)


def scores(seeds: int = 6, noise: float = 0.4) -> Scores:
    """Reverse is forward's equal, random is worse by more than a point, the rest lie between."""
    rng = Random(1)
    common = [rng.gauss(0, 1) for _ in range(seeds)]  # what a seed does to every strategy
    items = tuple(
        Score(
            TASK, init, str(STUDENT), name, seed, "accuracy",
            score=80 + gain + common[seed] + rng.gauss(0, noise),
            map=MAPS.get(name, f"map of {name}"),
            control=name == "untrained",
            select=81 + gain + rng.gauss(0, noise),
        )
        for init in INITS for name, gain in GAINS.items() for seed in range(seeds)
    )  # fmt: skip
    explored = tuple(Explored(TASK, INITS[0], str(STUDENT), t.map, t.score) for t in tried())
    problem = Problem("failed", "all_to_one failed under seeds 9: diverged at step 12",
                      TASK, INITS[0], str(STUDENT), "all_to_one")  # fmt: skip
    claims = of_text(
        "claims",
        "[{better: all_to_one, than: forward}, {equivalent: [forward, reverse], within: 1.5, "
        "init: random}, {better: {strategy: none, init: random}, than: {strategy: none, "
        f"init: '{INITS[0]}'}}}}]",
    )
    return Scores(
        items, "accuracy", explored=explored, problems=(problem,), source="tiny", claims=claims
    )


def verdict() -> Verdict:
    return judge(scores(), 1.0, 0.05)


def beside_a_paper(found: Verdict) -> Verdict:
    theirs = [Score("SST-2", "copied", str(STUDENT), name, 0, "accuracy", score)
              for name, score in (("forward", 79.5), ("reverse", 91.25))]  # fmt: skip
    return replace(found, published=compare_published(found.cells, theirs))


def table_page() -> Page:
    """Of scores alone, as from a table that a person typed."""
    origin = Origin(
        "raykd report --from scores.csv", "scores.csv", {}, None, "The table", "scores.csv"
    )
    return Page("scores.csv", "Scores from a table.", verdict(), origin)


def runs(seeds: int) -> Runs:
    """Every student's run, on a server of whom nobody asks anything."""
    keys = [(init, "", name, seed, "") for init in INITS for name in GAINS for seed in range(seeds)]
    return Runs(
        {key: f"{number:032x}" for number, key in enumerate(keys, 2**120)},
        SERVER,
        "7",
        "test_accuracy",
    )


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
    judged = replace(judge(scores(seeds), 1.0, 0.05), teacher=TEACHER_SCORE)
    return Page(
        name="tiny",
        setting="movie-reviews; a teacher of 6 blocks, students of 3.",
        verdict=beside_a_paper(judged),
        origin=Origin("raykd sweep tiny.yaml", "sqlite:///mlflow.db", {"torch": "2.13.0"},
                      "0123456789abcdef", "The sweep file", "name: tiny\n"),
        courses=courses,
        maps=(*maps, Drawn("best_1", (BEST,))),
        teacher_blocks=Depth(TEACHER),
        tried=tried(),
        costs=(Cost("confirm", "cpu", 84, 15.2, 410.0, 0.35),
               Cost("explore", "cuda", 40, 7.6, 405.0, 0.08)),
        missing=("The angles were not measured.",),
        runs=runs(seeds),
    )  # fmt: skip
