"""Results of a finished sweep with fixed numbers, for what is printed of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from raykd.analysis.claims.stated import of_text
from raykd.analysis.scores.from_runs import from_trials
from raykd.analysis.summary.mechanism import add_mechanism
from raykd.analysis.verdict import imitation
from raykd.analysis.verdict.context import Caveat, TeacherScore
from raykd.analysis.verdict.endpoints import add_endpoints
from raykd.analysis.verdict.imitation import add_imitation
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Verdict
from raykd.maps.layer_map import LayerMap
from raykd.planning.estimate.estimate import Estimate, Phase, Range
from raykd.sweep import strategy_table
from raykd.sweep.status import Status
from raykd.tracking.ledger import Record

MAPS = {
    "none": "[null, null, null, null, null, null]", "forward": "[2, 4, 6, 8, 10, 12]",
    "reverse": "[12, 10, 8, 6, 4, 2]", "in_order_random": "[{0}, 7, 8, 9, 11, 12]",
    "all_to_one": "[6, 6, 6, 6, 6, 6]", "row_shuffled": "[2, 4, 6, 8, 10, 12]",
}  # fmt: skip
SEEDS = 5
CLAIMS = of_text(
    "claims",
    "[{better: all_to_one, than: forward, by: 0}, {equivalent: [forward, reverse, "
    "in_order_random], within: 2, init: random}, {better: {strategy: none, init: copied first}, "
    "than: {strategy: none, init: random}, by: 1}]",
)
TEACHER = TeacherScore("001073683df4", "accuracy", 78.71, 77.08, 52.34)


def endpoints(score: float) -> dict[str, float]:
    return {
        "endpoints/nll": round(1.3 - score / 100, 4), "endpoints/brier": 0.6 - score / 400,
        "endpoints/agreement": score + 5,
    }  # fmt: skip


def records(inits: tuple[str, ...] = ("copied first", "random")) -> Iterator[Record]:
    """Finished confirm trials: every strategy and a control, under every init, with five seeds."""
    random = Random(0)
    for init in inits:
        for place, (strategy, layer_map) in enumerate(MAPS.items()):
            for seed in range(SEEDS):
                score = 74.0 + 0.2 * place + round(random.uniform(-0.5, 0.5), 2)
                name = f"{init} {strategy} {seed}"
                yield Record(
                    name, name, "finished", "confirm", strategy, layer_map.format(seed + 1), init,
                    seed, "f", "c",
                    None, {"test_accuracy": score, "best_select_accuracy": score - 1,
                           **endpoints(score)},
                    {"depth": "6", "loss_hidden": "1.0", "steps": "100",
                     "targets": "row_shuffled" if strategy == "row_shuffled" else "teacher"},
                    float(place), float(place + 1),
                )  # fmt: skip


def status(inits: tuple[str, ...] = ("copied first", "random")) -> Status:
    finished = list(records(inits))
    return Status(
        sweep="reviews", metric="accuracy", finished=len(finished), running=0, failed=1, missing=2,
        pruned=0, saved=0.0, outdated=0,
        failures=(("3f2a91c07b55", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 "
                   "GiB; see /srv/me/.raykd/logs/cohort-3f2a91c07b55/worker-0/output.txt"),),
        rows=strategy_table.rows(finished, "accuracy"),
        tracking_uri="sqlite:////srv/me/mlflow.db", teacher=TEACHER,
    )  # fmt: skip


def imitations() -> Iterator[Record]:
    """The same trials with R² of their matched pairs, from 0.6 down by depth, of all pairs under
    `none`, and cosines of gradients with the first and the last teacher block."""
    for record in records():
        pairs = LayerMap.parse(record.map).pairs()
        matched = {(s.block, t.block) for s, t in pairs}
        states = [(s, t) for s in range(1, 7) for t in range(1, 13)]
        r2 = {
            f"r2/{s}_to_{t}": 0.6 - 0.05 * s + 0.01 * record.seed if (s, t) in matched else 0.2
            for s, t in states
        }
        lookup = {f"r2_lookup/{t}": 0.5 - 0.03 * t for t in range(1, 13)}
        cosines = {
            f"gradient_cosine{name}_mean/{s}_to_{other}": value - 0.03 * s + 0.01 * record.seed
            for s, own in matched
            for other in {1, 12} - {own}
            for name, value in (("", 0.4 if abs(own - other) > 4 else 0.8), ("_null", 0.3))
        }
        yield replace(record, metrics={**record.metrics, **r2, **lookup, **cosines})


def verdict() -> Verdict:
    controls = ("row_shuffled",)
    scores = from_trials(
        records(), task="reviews.csv", metric="accuracy", source="reviews.yaml",
        controls=controls, endpoint_margins={"nll": 0.05, "agreement": 1.0}, claims=CLAIMS,
    )  # fmt: skip
    caveat = Caveat(
        "coarse", "1,005 test rows show differences of 2.7 at best, and the margin is 1"
    )
    result = add_endpoints(judge(scores, margin=1.0), scores)
    result = replace(result, teacher=TEACHER, caveats=(caveat,))
    students = imitation.from_trials(imitations(), "reviews.csv", controls)
    return add_mechanism(add_imitation(result, students), students, 0.5)


def overview() -> dict[str, Any]:
    """What `raykd plan --json` printed of a sweep."""
    found = Path(__file__).parent.parent / "files" / "plan.json"
    values: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return values


def estimate() -> Estimate:
    def spread(likely: float) -> Range:
        return Range(0.7 * likely, likely, 1.6 * likely)

    def phase(name: str, seconds: float) -> Phase:
        hours = spread(seconds / 3600)
        disk = Range(1e6 * seconds, 1e6 * seconds, 2e6 * seconds)
        return Phase(name, spread(seconds), hours, disk, spread(3e6 * seconds), hours)

    phases = (phase("teacher", 95), phase("stored states", 260), phase("confirm", 21_000))
    return Estimate(
        "GPU", "NVIDIA H200", True, phases, phase("in all", 21_355), 24, 4,
        ("students 92 %, of which 10 % is waiting for the stored states",), "",
    )  # fmt: skip
