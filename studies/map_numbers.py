"""Does a number that is read before a sweep rank its maps? Exploratory: it has no status.

    python studies/map_numbers.py read SWEEP    # numbers of teacher and student before training
    python studies/map_numbers.py train SWEEP SEED...    # adds every map's score under these seeds
    python studies/map_numbers.py rank NAME    # writes studies/NAME/maps.json
    python studies/map_numbers.py show NAME    # its rows for a page

SWEEP is a file whose `explore` section tries all maps, here study_minilm.yaml, and NAME the folder
of its study. Scores go to NAME/maps.csv, numbers to NAME/numbers.json. A training that is ended
goes on after its last cohort.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from raykd.analysis.stats.search.map_ranking import map_variance, ranking
from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.data.assets import packages
from raykd.maps.activations import state
from raykd.maps.layer_map import LayerMap
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import explore_trial
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.teachers.targets import LiveTeacher
from raykd.training.imitation.lines import TOKENS, TRAIN_TOKENS, row_batches
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

HERE = Path(__file__).parent
COHORT = 24
RIDGE = 1e-3  # of the mean square of a student's features
FIELDS = ("map", "seed", "step", "select")


def opened(file: str) -> tuple[Study, CohortTrainer]:
    study = resolve(load(Path(file)), packages.home(), file)
    sources = replace(training_inputs(study, fine_tune(study).folder), angles=None)
    return study, CohortTrainer.load(sources, Execution())


def every_map(study: Study) -> list[LayerMap]:
    blocks = range(1, study.base.depths.encoder + 1)
    return [LayerMap(targets) for targets in product(blocks, repeat=study.depth.encoder)]


def read(file: str) -> None:
    """Measure every pair of a block of the student, before any training, and a block of the
    teacher."""
    study, trainer = opened(file)
    blocks = study.depth.encoder
    unmatched = replace(
        explore_trial(study, every_map(study)[0]), layer_map=LayerMap((None,) * blocks)
    )
    start = trainer.build(unmatched)
    numbers = {"before training": measured(trainer, start, blocks, study.base.depths.encoder)}
    path(study, "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


def measured(trainer: CohortTrainer, student: Any, students: int, teachers: int) -> dict[str, Any]:
    """Return matrices [student blocks, teacher blocks] of each number, on held-out tokens."""
    of = partial(states, trainer)
    train_S, train_T = of(student, students, "train"), of(trainer.teacher, teachers, "train")
    held_S, held_T = of(student, students, "select"), of(trainer.teacher, teachers, "select")
    return {
        "recoverability": [
            [recoverability(a, b, x, y) for b, y in zip(train_T, held_T, strict=True)]
            for a, x in zip(train_S, held_S, strict=True)
        ],
        "cka": [[cka(x, y) for y in held_T] for x in held_S],
        "mean_angle": [mean_angles(x, held_T) for x in held_S],
    }


@torch.no_grad()
def states(trainer: CohortTrainer, model: Any, blocks: int, split: str) -> list[Tensor]:
    """Return the output of each block, [N, D] over the tokens of a split."""
    data, where = trainer.data, trainer.where
    encoded, tokens = (data.train, TRAIN_TOKENS) if split == "train" else (data.select, TOKENS)
    live = LiveTeacher(
        model, [state(b) for b in range(1, blocks + 1)], data.family, where.autocast()
    )
    parts: list[list[Tensor]] = [[] for _ in range(blocks)]
    for rows in row_batches(encoded, tokens):
        found = live(data.family.collate(encoded, rows, data.pad)).states_ND
        for part, block in zip(parts, range(1, blocks + 1), strict=True):
            part.append(found[state(block)].double())
    live.close()
    return [torch.cat(part) for part in parts]


def recoverability(train_S: Tensor, train_T: Tensor, held_S: Tensor, held_T: Tensor) -> float:
    """Return the held-out R² of a linear map from student to teacher states, fitted by ridge."""
    mean_S, mean_T = train_S.mean(0), train_T.mean(0)
    x, y = train_S - mean_S, train_T - mean_T
    gram = x.T @ x
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    predicted = (held_S - mean_S) @ torch.linalg.solve(gram, x.T @ y) + mean_T
    around = (held_T - held_T.mean(0)).square().sum()
    return float(1 - (held_T - predicted).square().sum() / around)


def cka(x_ND: Tensor, y_ND: Tensor) -> float:
    """Return the linear CKA of Kornblith et al. (2019)."""
    x, y = x_ND - x_ND.mean(0), y_ND - y_ND.mean(0)
    return float(
        (x.T @ y).square().sum() / (torch.linalg.norm(x.T @ x) * torch.linalg.norm(y.T @ y))
    )


def mean_angles(x_ND: Tensor, teacher: Sequence[Tensor]) -> list[float]:
    """Return for each teacher block the mean angle, in degrees, to the other blocks as seen from a
    student state, over tokens and blocks."""
    seen = [torch.nn.functional.normalize(y - x_ND, dim=1) for y in teacher]
    return [
        float(
            torch.stack(
                [
                    torch.rad2deg(torch.acos((a * b).sum(1).clamp(-1, 1))).mean()
                    for b in seen
                    if b is not a
                ]
            ).mean()
        )
        for a in seen
    ]


def train(file: str, seeds: Sequence[int]) -> None:
    """Train every map under each seed, in cohorts, and add their select scores to the table."""
    study, trainer = opened(file)
    table = path(study, "maps.csv")
    if not table.exists():
        table.write_text(",".join(FIELDS) + "\n", encoding="utf-8")
    done = {(row["map"], int(row["seed"])) for row in rows(table)}
    for seed in seeds:
        trials = [replace(explore_trial(study, m), seed=seed) for m in every_map(study)]
        left = [t for t in trials if (str(t.layer_map), seed) not in done]
        for first in range(0, len(left), COHORT):
            memory = Memory()
            trainer.run(Cohort(tuple(left[first : first + COHORT])), memory)
            with table.open("a", newline="", encoding="utf-8") as stream:
                for trial in left[first : first + COHORT]:
                    step, metrics = memory.metrics[trial.id][-1]
                    score = metrics[f"select_{trial.metric}"]
                    csv.writer(stream).writerow([trial.layer_map, seed, step, score])
            print(f"seed {seed}: {first + COHORT} of {len(left)}", flush=True)


def rank(name: str) -> None:
    """Compare the ranks of maps by each number with those by their mean scores."""
    table = [
        (row["map"], int(row["seed"]), float(row["select"]))
        for row in rows(HERE / name / "maps.csv")
    ]
    seeds = sorted({seed for _, seed, _ in table})
    maps = [m for m in dict.fromkeys(m for m, *_ in table)]
    scores = {(m, seed): score for m, seed, score in table}
    complete = [seed for seed in seeds if all((m, seed) in scores for m in maps)]
    scores_MS = np.array([[scores[m, seed] for seed in complete] for m in maps])
    variance = map_variance(scores_MS)
    targets = [json.loads(m) for m in maps]
    numbers = json.loads((HERE / name / "numbers.json").read_text(encoding="utf-8"))
    found = {
        when: {
            number: asdict(ranking(np.array(matrix), targets, scores_MS.mean(axis=1)))
            for number, matrix in of_when.items()
        }
        for when, of_when in numbers.items()
    }
    result = {
        "seeds": complete,
        "variance": asdict(variance),
        "ceiling": variance.ceiling,
        # By ranks within a seed: the F test of the variance takes the seeds to scatter alike.
        "friedman_p": float(stats.friedmanchisquare(*scores_MS).pvalue)
        if len(complete) > 2
        else None,
        "rank": found,
    }
    (HERE / name / "maps.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def show(name: str) -> str:
    """Return a row of a table for each number: its correlation with the maps' mean scores, and the
    share of the permutations of the teacher's blocks that are at least as far from 0."""
    found = json.loads((HERE / name / "maps.json").read_text(encoding="utf-8"))
    return "\n".join(
        f"| {number} | {ranked['correlation']:+.2f} | {ranked['p']:.3f} |"
        for number, ranked in found["rank"]["before training"].items()
    )


def path(study: Study, file: str) -> Path:
    folder = HERE / study.config.name.replace("-", "_")
    folder.mkdir(exist_ok=True)
    return folder / file


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    command, name, *stated = sys.argv[1:]
    if command == "read":
        read(name)
    elif command == "train":
        train(name, [int(seed) for seed in stated])
    elif command == "show":
        print(show(name))
    else:
        rank(name)
