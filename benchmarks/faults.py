"""Faults of six kinds at seeded moments during a sweep of 24 trials on a cluster of real Ray nodes:
time until training resumes, and whether the results equal those of an undisturbed sweep. Run as
`python -m benchmarks.faults`; writes faults.{json,md} beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.cluster.with_ray.disturbed import Disturbed, Fault, Moment, Struck

HERE = Path(__file__).parent
SEEDS = 8  # of three strategies: 24 trials
LAST = 0.85  # share of the sweep after which no fault is injected: too little would be left

DESCRIPTIONS = {
    "worker": "a worker's process is killed",
    "node": "a worker node, with all its processes",
    "driver": "the driver of the job",
    "head": "the sweep and the head, with its drivers; a new cluster, and the sweep again",
    "mlflow": "the MLflow server is killed, and started later",
    "storage": "the checkpoint store is cut off for a while",
}


def draw(count: int, seed: int) -> list[Fault]:
    """Draw equally many faults of each kind, in random order. About half of them strike while
    students train; the others soon after the previous fault, so that its recovery may be under way,
    or (only kinds that kill a process) while a checkpoint is written."""
    from tests.cluster.with_ray.disturbed import KILLS, KINDS, Fault

    rng = random.Random(seed)
    kinds = [KINDS[i % len(KINDS)] for i in range(count)]
    rng.shuffle(kinds)
    faults = []
    for kind, at in zip(kinds, sorted(rng.uniform(0, LAST) for _ in kinds), strict=True):
        moments: list[Moment] = ["training", "training", "recovery"]
        moment = rng.choice([*moments, "checkpoint"] if kind in KILLS else moments)
        wait = {"training": 1.0, "recovery": 8.0, "checkpoint": 0.0}[moment]
        faults.append(Fault(kind, moment, at, rng.uniform(0, wait), rng.uniform(2, 10)))
    return faults


def row(struck: Struck) -> dict[str, Any]:
    fault = struck.fault
    return {
        "kind": fault.kind, "moment": fault.moment, "done": struck.done, "what": struck.what,
        "away": fault.lasts if fault.kind in ("node", "mlflow", "storage") else None,
        "seconds": struck.seconds, "launches": struck.launches,
    }  # fmt: skip


def measure(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Run an undisturbed and a disturbed sweep and compare them.

    Raises AssertionError if a trial is missing, duplicated or differs from the undisturbed sweep,
    or if a placement group, a process or an unsent result is left behind.
    """
    from tests.cluster.with_ray.aftermath import check
    from tests.cluster.with_ray.conftest import copy, run
    from tests.cluster.with_ray.disturbed import Disturbed
    from tests.cluster.with_ray.helpers import SLOW, WHOLE, records, scores
    from tests.support.world import write_sweep

    prepared, alone, disturbed = (folder / name for name in ("made", "alone", "disturbed"))
    prepared.mkdir()
    run("teacher", write_sweep(prepared), prepared)
    copy(prepared, alone)
    confirm = {"strategies": ["none", "forward", "reverse"], "seeds": SEEDS}
    began = time.monotonic()
    run("sweep", write_sweep(alone, training=SLOW, cluster=WHOLE, confirm=confirm), alone)
    quiet = time.monotonic() - began
    copy(prepared, disturbed)
    os.environ["RAYKD_HOME"] = str(disturbed / "home")
    world = Disturbed(disturbed, SEEDS)
    try:
        began = time.monotonic()
        world.run(draw(count, seed))
        seconds = time.monotonic() - began
        check(world, scores(records(alone)))
    finally:
        world.end()
    return result(world, seed, quiet, seconds)


def result(world: Disturbed, seed: int, quiet: float, seconds: float) -> dict[str, Any]:
    from tests.cluster.with_ray.helpers import records

    return {
        "seed": seed, "trials": len(records(world.folder)), "quiet_seconds": quiet,
        "seconds": seconds, "launch_codes": world.codes, "faults": [row(r) for r in world.rows],
    }  # fmt: skip


def table(results: dict[str, Any]) -> str:
    faults = results["faults"]
    lines = [
        f"# {len(faults)} faults over one sweep", "",
        f"Written by `python -m benchmarks.faults --faults {len(faults)} --seed {results['seed']}` "
        "from faults.json; not by hand.", "",
        f"A sweep of {results['trials']} tiny trials on a head and two worker nodes, as processes "
        "of one machine of 2 cores, with checkpoints at every evaluation. Every trial is FINISHED "
        "once, with the metrics of a sweep to which nothing happened, bit for bit; no placement "
        "group, process or unsent result is left. The run ends with an error where that is not so.",
        "", f"It took {results['seconds']:.0f} s, undisturbed and on a Ray of its own "
        f"{results['quiet_seconds']:.0f} s. The sweep's command was given "
        f"{1 + sum(f['kind'] == 'head' for f in faults) + _again(results)} times: once, after "
        f"every loss of the head, and {_again(results)} times after a launch that had ended by "
        f"itself, "
        f"{_codes(results)}.", "",
        "| struck | faults | seconds until training went on: median, longest |", "|---|---|---|",
    ]  # fmt: skip
    for kind, description in DESCRIPTIONS.items():
        times = [f["seconds"] for f in faults if f["kind"] == kind]
        if times:
            lines.append(
                f"| {kind}: {description} | {len(times)} | {statistics.median(times):.1f}, "
                f"{max(times):.1f} |"
            )
    lines += [
        "", "`done`: the share of the sweep's steps behind it. `away`: seconds until the node, the "
        "server or the store was back. `went on`: seconds until the store had losses that were "
        "computed after the fault, by workers that it left alone or that came after it. `again`: "
        "how often the command was given in between.", "",
        "| # | struck | moment | done | killed or cut off | away | went on | again |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for number, f in enumerate(faults, 1):
        away = "" if f["away"] is None else f"{f['away']:.1f}"
        lines.append(
            f"| {number} | {f['kind']} | {f['moment']} | {100 * f['done']:.0f} % | {f['what']} | "
            f"{away} | {f['seconds']:.1f} | {f['launches'] or ''} |"
        )
    return "\n".join(lines) + "\n"


def _again(results: dict[str, Any]) -> int:
    return sum(code != 0 for code in results["launch_codes"])


def _codes(results: dict[str, Any]) -> str:
    counts = Counter(code for code in results["launch_codes"] if code)
    return ", ".join(f"{n} with exit code {code}" for code, n in sorted(counts.items())) or "none"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raykd-faults-") as name:
        results = measure(options.faults, options.seed, Path(name))
    (HERE / "faults.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (HERE / "faults.md").write_text(table(results), encoding="utf-8")
    print(table(results))
