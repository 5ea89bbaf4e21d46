"""Seeded faults during sweeps: of seven kinds on a cluster of real Ray nodes, and kills of whole
process groups of sweeps with a Ray of their own, one or two at once. Time until training resumes,
and whether the results equal those of an undisturbed sweep. Run as `python -m benchmarks.faults`;
writes faults.{json,md} beside this file. A run that is ended goes on after its last whole round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import cycle
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.faults_table import table

if TYPE_CHECKING:
    from tests.cluster.with_ray.disturbed import Disturbed
    from tests.cluster.with_ray.fault import Fault, Kind, Moment, Struck

HERE = Path(__file__).parent
WORK = HERE / ".work" / "faults"
PART = WORK / "faults.json"
"""The rounds of a run that is not through, and the metrics of its undisturbed sweep."""
TRIALS = 12  # of each round: one sweep's, or both's
CPUS = 1  # of each worker: more threads than free cores wait for each other
LAST = 0.85  # share of a sweep after which no fault is injected: too little would be left
LAST_KILL = 0.7
HALF = (
    ("home", 5), ("alone", 7), ("cluster", 7), ("both", 5), ("cluster", 7), ("store", 5),
    ("alone", 7),
)  # fmt: skip
ROUNDS = (*HALF, *HALF, ("cluster", 7), ("cluster", 7))
"""Where the faults are injected, and how many in each round: a hundred."""


@dataclass(frozen=True)
class Round:
    world: str
    count: int
    seed: int

    @property
    def faults(self) -> list[Fault]:
        draw = on_a_cluster if self.world == "cluster" else on_this_machine
        return draw(self.count, self.seed, 1 if self.world == "alone" else 2)


def rounds(count: int, seed: int) -> list[Round]:
    """The rounds of so many faults: the first of ROUNDS, again and again."""
    found: list[Round] = []
    for number, (world, most) in enumerate(cycle(ROUNDS)):
        rest = count - sum(part.count for part in found)
        if not rest:
            break
        found.append(Round(world, min(rest, most), 1000 * seed + number))
    return found


def on_a_cluster(count: int, seed: int, _: int = 1) -> list[Fault]:
    """Draw equally many faults of each kind, in random order. About half of them strike while the
    loss history grows; the others soon after the previous fault, so that its recovery may be under
    way, or (only kinds that kill a process) while a checkpoint is written."""
    from tests.cluster.with_ray.fault import KILLS, ON_A_CLUSTER, Fault

    rng = random.Random(seed)
    kinds = [ON_A_CLUSTER[i % len(ON_A_CLUSTER)] for i in range(count)]
    rng.shuffle(kinds)
    faults = []
    for kind, at in zip(kinds, sorted(rng.uniform(0, LAST) for _ in kinds), strict=True):
        moments: list[Moment] = ["training", "training", "recovery"]
        moment = rng.choice([*moments, "checkpoint"] if kind in KILLS else moments)
        faults.append(Fault(kind, moment, at, rng.uniform(0, 8), rng.uniform(2, 10)))
    return faults


def on_this_machine(count: int, seed: int, sweeps: int) -> list[Fault]:
    """Draw kills of process groups, with or without everything that they started elsewhere: most
    while the loss history grows, some soon after the previous one. Of two sweeps, both are struck
    as often as each alone."""
    from tests.cluster.with_ray.fault import ON_THIS_MACHINE, Fault

    rng = random.Random(seed)
    whom = [(0,)] if sweeps == 1 else [(0,), (1,), (0, 1)]
    struck = [whom[i % len(whom)] for i in range(count)]
    rng.shuffle(struck)
    faults = []
    for who, at in zip(struck, sorted(rng.uniform(0, LAST_KILL) for _ in struck), strict=True):
        kind: Kind = rng.choice(ON_THIS_MACHINE)
        moments: list[Moment] = ["training", "training", "training", "training", "recovery"]
        moment = rng.choice(moments)
        faults.append(Fault(kind, moment, at, rng.uniform(2, 20), 0.0, who))
    return faults


def row(struck: Struck) -> dict[str, Any]:
    fault = struck.fault
    return {
        "kind": fault.kind, "moment": fault.moment, "who": [s.mark for s in struck.sweeps],
        "step": struck.steps, "done": struck.done, "grew": struck.grew, "what": struck.what,
        "away": fault.lasts if fault.kind in ("node", "mlflow", "storage") else None,
        "seconds": struck.seconds, "launches": struck.launches, "orphaned": struck.orphaned,
    }  # fmt: skip


def measure(part: Round, alone: Mapping[str, Any], work: Path = WORK) -> dict[str, Any]:
    """Run disturbed sweeps and compare them with an undisturbed one.

    Raises AssertionError if a trial is missing, duplicated or differs, or if a placement group, a
    process, a checkpoint, a temporary file or an unsent result is left behind.
    """
    from tests.cluster.with_ray.aftermath import check

    folder, made = work / str(part.seed), work / "made"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was ended
    folder.mkdir()
    scratch = Path(tempfile.mkdtemp(prefix="f-", dir="/tmp"))  # sockets' names are short
    world = make_world(part, folder, scratch, made)
    try:
        began = time.monotonic()
        world.run(part.faults)
        seconds = time.monotonic() - began
        check(world, scratch, alone)
    finally:
        world.end()
        shutil.rmtree(scratch, ignore_errors=True)
    return {
        "world": part.world, "seed": part.seed, "trials": sum(s.trials for s in world.sweeps),
        "seconds": seconds, "launch_codes": [s.codes for s in world.sweeps],
        "faults": [row(r) for r in world.rows],
    }  # fmt: skip


def make_world(part: Round, folder: Path, scratch: Path, made: Path) -> Disturbed:
    from tests.cluster.with_ray.conftest import copy
    from tests.cluster.with_ray.on_a_cluster import OnACluster
    from tests.cluster.with_ray.on_this_machine import SHARED, OnThisMachine

    if part.world == "cluster":
        copy(made, folder)
        os.environ["RAYKD_HOME"] = str(folder / "home")
        return OnACluster(folder, scratch, TRIALS // 3, CPUS)
    (shared,) = (s for s in SHARED if s == part.world)
    seeds = TRIALS // 3 if shared == "alone" else TRIALS // 6
    return OnThisMachine(made, folder, scratch, shared, seeds, CPUS)


def undisturbed(made: Path, folder: Path) -> tuple[float, dict[str, dict[str, float]]]:
    """The seconds and the metrics of a sweep of all trials."""
    from tests.cluster.with_ray.conftest import copy, run
    from tests.cluster.with_ray.helpers import SLOW, records, scores
    from tests.support.world import write_sweep

    made.mkdir()
    run("teacher", write_sweep(made), made)
    copy(made, folder)
    confirm = {"strategies": ["none", "forward", "reverse"], "seeds": TRIALS // 3}
    began = time.monotonic()
    cluster = {"cpus_per_worker": CPUS}
    run("sweep", write_sweep(folder, training=SLOW, cluster=cluster, confirm=confirm), folder)
    return time.monotonic() - began, scores(records(folder))


def whole(count: int, seed: int, at_once: int = 1) -> dict[str, Any]:
    """Run the rounds that are not in PART, which is written after each."""
    results: dict[str, Any] = {}
    if PART.exists():
        results = json.loads(PART.read_text(encoding="utf-8"))
    if (results.get("count"), results.get("seed")) != (count, seed):
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        quiet, metrics = undisturbed(WORK / "made", WORK / "alone")
        results = {"count": count, "seed": seed, "quiet_seconds": quiet, "rounds": []}
        results["undisturbed"] = metrics
        write(PART, results)
    done = {r["seed"] for r in results["rounds"]}
    failed = []
    with ProcessPoolExecutor(at_once) as pool:
        running = {
            pool.submit(measure, part, results["undisturbed"]): part
            for part in rounds(count, seed) if part.seed not in done
        }  # fmt: skip
        for future in as_completed(running):
            part = running[future]
            if error := future.exception():  # the other rounds are worth their time all the same
                failed.append(part)
                traceback.print_exception(error)
                print(f"round {part.seed}, {part.world}: failed", flush=True)
                continue
            found = future.result()
            results["rounds"] = sorted([*results["rounds"], found], key=itemgetter("seed"))
            write(PART, results)
            print(f"round {part.seed}, {part.world}: {found['seconds']:.0f} s", flush=True)
    if failed:
        sys.exit(f"{len(failed)} rounds failed: {', '.join(str(part.seed) for part in failed)}")
    return {name: value for name, value in results.items() if name != "undisturbed"}


def write(path: Path, results: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=1, help="rounds at a time")
    options = parser.parse_args(arguments)
    results = whole(options.faults, options.seed, options.at_once)
    write(HERE / "faults.json", results)
    (HERE / "faults.md").write_text(table(results), encoding="utf-8")
    shutil.rmtree(WORK)


if __name__ == "__main__":
    main()
