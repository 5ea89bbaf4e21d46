"""On paper: the paper's whole grid with ten seeds on 64 and on 1,000 spot GPUs. What it would take,
what the control plane would carry, and what breaks first.

    python -m benchmarks.on_paper    # some minutes on one core; writes on_paper.json and .md

Nothing is trained and no GPU is asked. Trials, cohorts, jobs, steps and bytes are those of raykd's
own plan of every file in sweeps/paper; a step's operations are counted on shapes (paper_work.py);
what a trial costs MLflow and a job the head is measured (control_plane.py). All else is assumed,
and stated here and in paper_time.py.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import machine
from benchmarks.paper_time import (
    BOOT,
    CASES,
    DISK,
    GB,
    HOUR,
    IDLE,
    IMPORTS,
    KINDS,
    Case,
    Kind,
    Sweep,
    Taken,
    shared_out,
)
from benchmarks.paper_work import FILES, SEEDS, SETS

HERE = Path(__file__).parent
GPUS = (64, 256, 1000)
READ, WRITTEN = 0.03, 0.06  # dollars a GB, from and to the shared storage (EFS, elastic)
HELD = 0.30 / 730  # dollars a GB and hour there
HEAD = 0.8  # dollars an hour, of one with memory for 64 jobs
HEAD_CORES, HEAD_BYTES = 4, 16 * 2**30  # of the m6i.xlarge that cluster.yaml has
SERVERS, POOL = 4, 15  # workers of MLflow's server (deploy/mlflow/compose.yaml), each one's pool
BEATS = 0.2  # requests a second of a launch's heart (raykd/tracking/launch.py)
TICKS = 10  # looks at the losses (raykd/training/distill.py)
STARTS = 60.0  # seconds in which all jobs begin, were all GPUs there at once

Sweeps = Mapping[str, Sweep]


def cheapest(name: str, home: Path) -> Sweep:
    """On the kind that costs least of those whose memory holds a worker."""
    known = [Sweep(name, home, kind, CASES["likely"]) for kind in KINDS]
    return min((s for s in known if s.fits), key=lambda s: s.at(1).hours * s.price)


def outcome(sweeps: Sweeps, gpus: int) -> dict[str, Any]:
    """The grid on at most so many GPUs: hours, dollars, and each file."""
    given = shared_out(list(sweeps.values()), gpus)
    seconds = max(s.teacher + given[s.name].seconds for s in sweeps.values())
    teachers = {s.study.teacher: s for s in sweeps.values()}.values()
    tuning = sum(s.teacher + BOOT + IDLE for s in teachers) / HOUR
    hours, names = seconds / HOUR, ("read", "written", "checkpoints", "kept", "passing")
    total = {k: _sum(given, k) for k in names}
    money = {
        "students": sum(s.price * given[s.name].hours for s in sweeps.values()),
        "teachers": sum(s.price * (s.teacher + BOOT + IDLE) / HOUR for s in teachers),
        "checkpoints": (WRITTEN * total["checkpoints"] + HELD * hours * total["passing"]) / GB,
        "storage": (READ * total["read"] + WRITTEN * (total["written"] - total["checkpoints"])
                    + HELD * hours * total["kept"]) / GB,
        "head": HEAD * hours,
    }  # fmt: skip
    return {
        "hours": hours, "used": _sum(given, "gpus"), "gpu_hours": _sum(given, "hours") + tuning,
        "money": sum(money.values()), "parts": money, "lost": _sum(given, "lost"),
        "left": _sum(given, "left"), "jobs": _sum(given, "jobs"),
        "cohorts": _sum(given, "cohorts"), "bytes": total,
        "files": {n: {**asdict(t), "kind": sweeps[n].kind.name, "teacher": sweeps[n].teacher}
                  for n, t in given.items()},
    }  # fmt: skip


def _sum(given: Mapping[str, Taken], what: str) -> Any:
    return sum(getattr(t, what) for t in given.values())


@dataclass(frozen=True)
class Load:
    """Of a part of the control plane: with so many jobs at work, `base + each * jobs`."""

    part: str
    unit: str
    base: float
    each: float
    limit: float
    evidence: str

    @property
    def breaks_at(self) -> float:
        """Jobs at once that are more than it carries."""
        room = max(0.0, self.limit - self.base)
        return room / self.each if self.each else math.inf

    def to_json(self) -> dict[str, Any]:
        at = self.breaks_at
        return {**asdict(self), "breaks_at": None if math.isinf(at) else at}


def on_head(plane: Mapping[str, Any], what: str) -> tuple[float, float]:
    """What is there anyway, and for each job: `bytes`, or share of a core (`cpu`)."""
    base, each = 0.0, 0.0
    for title, seen in plane["ray"].items():
        if title == "launch":
            base += len(FILES) * seen[what]
        elif title in OF_A_JOB:
            each += seen[what] / seen["count"]
        elif title != WORKER:
            base += seen[what]
    return base, each


OF_A_JOB = ("ImplicitFunc", "TrainController", "SynchronizationActor", "_QueueActor",
            "PreemptionWatcher")  # fmt: skip
WORKER = "RayTrainWorker"  # on a node with a GPU; all else of a job may come to be on the head


def asked(plane: Mapping[str, Any], evaluations: int) -> float:
    """Requests to MLflow of a trial: opened, losses, scores of select, finished."""
    of = plane["mlflow"]["requests"]
    return float(of["open"] + (TICKS + evaluations) * of["log"] + of["finish"])


def loads(plane: Mapping[str, Any], sweeps: Sweeps, found: Mapping[str, Any]) -> list[Load]:
    """`found`: an outcome, whose trials and bytes are spread over its GPU-hours."""
    seconds = HOUR * found["gpu_hours"]
    trials = {n: len(s.plan(1).confirm) for n, s in sweeps.items()}
    looks = {n: s.study.config.training.evaluations for n, s in sweeps.items()}
    requests = sum(trials[n] * asked(plane, looks[n]) for n in sweeps)
    cpu = sum(plane["mlflow"]["cpu_seconds"].values()) / asked(plane, TICKS)
    opened = plane["mlflow"]["requests"]["open"] * sum(trials.values()) / found["cohorts"]
    shipped = yaml.safe_load((HERE.parent / "cluster.yaml").read_text(encoding="utf-8"))
    slots = shipped["available_node_types"]["head"]["resources"]["trial_slot"]
    memory, cores = on_head(plane, "bytes"), on_head(plane, "cpu")
    of_head = "measured: what a job has there; the m6i.xlarge of cluster.yaml"
    ray, efs = "tested to, by Ray's scalability envelope", "AWS's documentation of EFS"
    written, read = (found["bytes"][k] / seconds / GB for k in ("written", "read"))
    return [
        Load("worker nodes", "nodes", 0, 1, shipped["max_workers"],
             "`max_workers` of cluster.yaml"),
        Load("jobs at once", "jobs", 0, 1, slots,
             "the head's `trial_slot` in cluster.yaml"),
        Load("the head's memory", "GB", memory[0] / GB, memory[1] / GB, HEAD_BYTES / GB, of_head),
        Load("the head's processor", "cores", *cores, HEAD_CORES, of_head),
        Load("PostgreSQL, written to by workers themselves", "connections", 0, 1, 100,
             "its default `max_connections`"),
        Load("PostgreSQL behind MLflow's server", "connections", SERVERS * POOL, 0, 100,
             "its default; MLflow's pool of 5 and 10 more, of each of the server's workers"),
        Load("MLflow and its database", "cores", BEATS * len(FILES) * cpu,
             requests / seconds * cpu, SERVERS, "measured: processor time of a request"),
        Load("MLflow, were all jobs to begin in one minute", "cores", 0,
             opened / STARTS * cpu, SERVERS, "measured: requests that open a trial"),
        Load("Ray's placement groups, one of Tune and one of Train", "groups", 0, 2, 1000, ray),
        Load("Ray's actors", "actors", 0, len(OF_A_JOB) + 1, 20_000, ray),
        Load("Ray's nodes", "nodes", 1, 1, 3000, ray),
        Load("shared storage as docs/cluster.md makes it, written", "GB/s", 0, written,
             100 * 2**20 / GB, f"{efs}: bursting, its default, below 1 TiB"),
        Load("shared storage with elastic throughput, written", "GB/s", 0, written,
             5 * 2**30 / GB, f"{efs}: quota in us-west-2"),
        Load("shared storage with elastic throughput, read", "GB/s", 0, read,
             20 * 2**30 / GB, f"{efs}: quota in us-west-2"),
    ]  # fmt: skip


def results(home: Path, names: tuple[str, ...] = tuple(FILES)) -> dict[str, Any]:
    plane = json.loads((HERE / "control_plane.json").read_text(encoding="utf-8"))
    likely = {name: cheapest(name, home) for name in names}

    def of(case: Case, kind: Kind | None = None) -> Sweeps:
        return {n: Sweep(n, home, kind or s.kind, case) for n, s in likely.items()}

    cases = {name: of(case) for name, case in CASES.items()}
    grid = {n: {c: outcome(sweeps, n) for c, sweeps in cases.items()} for n in GPUS}
    alone = {k.name: of(CASES["likely"], k) for k in KINDS}
    alone = {k: sweeps for k, sweeps in alone.items() if all(s.fits for s in sweeps.values())}
    rows = plane["mlflow"]
    trials = sum(len(s.plan(1).confirm) for s in likely.values())
    return {
        "machine": plane["machine"], "versions": machine.versions(None), "trials": trials,
        "sets": {n: asdict(s) for n, s in SETS.items()},
        "assumed": {
            "kinds": [asdict(k) for k in KINDS], "cases": {n: asdict(c) for n, c in CASES.items()},
            "boot": BOOT, "idle": IDLE, "imports": IMPORTS, "disk": DISK, "head": HEAD,
            "read": READ, "written": WRITTEN, "held": HELD, "seeds": SEEDS,
        },
        "files": {n: described(s) for n, s in likely.items()},
        "gpus": {str(n): outcomes for n, outcomes in grid.items()},
        "kinds": {k: {str(n): outcome(s, n) for n in (64, 1000)} for k, s in alone.items()},
        "loads": [x.to_json() for x in loads(plane, cases["likely"], grid[64]["likely"])],
        "database": {"rows": trials * sum(rows["rows"].values()), "bytes": trials * rows["bytes"],
                     "requests": asked(plane, TICKS)},
    }  # fmt: skip


def described(s: Sweep) -> dict[str, Any]:
    made, p = s.plan(1), s.parts
    return {
        "kind": s.kind.name, "trials": len(made.confirm), "steps": s.study.steps,
        "rows": s.study.prepared.counts, "tokens": s.study.mean_tokens,
        "fits": [k.name for k in KINDS if Sweep(s.name, s.home, k, s.case).fits],
        "parts": asdict(p), "step": s.took(p.step), "pass": s.took(p.teach),
        "busy": s.computing(p.step) / s.took(p.step),
    }  # fmt: skip


def main() -> None:
    from benchmarks.paper_table import table

    parser = argparse.ArgumentParser(prog="benchmarks.on_paper", description=__doc__)
    parser.add_argument("--home", type=Path, help="a folder that keeps what was counted")
    with tempfile.TemporaryDirectory(prefix="raykd-paper-") as folder:
        found = results(parser.parse_args().home or Path(folder))
    (HERE / "on_paper.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (HERE / "on_paper.md").write_text(table(found), encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
