"""An estimate of the paper's whole grid with ten seeds on 64 and on 1,000 spot GPUs: time and cost,
load of the control plane, and the part that breaks first.

    python -m benchmarks.on_paper    # some minutes on one core; writes on_paper.json and .md

Nothing is trained and no GPU is used. Trials, cohorts, jobs, steps and bytes come from raykd's own
plan of every file in sweeps/paper. A step's operations are counted on shapes (paper_work.py). The
costs of a trial in MLflow and of a job on the head are measured (control_plane.py). All else is
assumed, as stated here and in paper_time.py.
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
    EFS,
    GB,
    HOUR,
    IDLE,
    IMPORTS,
    KINDS,
    S3,
    Case,
    Kind,
    Storage,
    Sweep,
    Taken,
    shared_out,
)
from benchmarks.paper_work import FILES, SEEDS, SETS
from raykd.config.cluster import Cluster

HERE = Path(__file__).parent
GPUS = (64, 256, 1000)
MONTH = 730.0  # hours
HEAD = 0.8  # dollars an hour, of one with memory for 64 jobs
HEAD_CORES, HEAD_BYTES = 4, 16 * 2**30  # of the m6i.xlarge that cluster.yaml has
SERVERS, POOL = 4, 15  # workers of MLflow's server (deploy/mlflow/compose.yaml), each one's pool
BEATS = 0.2  # requests a second of a launch's heart (raykd/tracking/launch.py)
TICKS = 10  # times that losses are logged (raykd/training/distill.py)
STARTS = 60.0  # seconds in which all jobs start, if all GPUs are available at once

Sweeps = Mapping[str, Sweep]


def cheapest(name: str, home: Path) -> Sweep:
    """The sweep on the cheapest kind of GPU whose memory holds a worker."""
    candidates = [Sweep(name, home, kind, CASES["likely"]) for kind in KINDS]
    return min((s for s in candidates if s.fits), key=lambda s: s.at(1).hours * s.price)


def outcome(sweeps: Sweeps, gpus: int) -> dict[str, Any]:
    """The grid on at most `gpus` GPUs: hours, dollars, and the figures of each file."""
    allocation = shared_out(list(sweeps.values()), gpus)
    seconds = max(s.teacher + allocation[s.name].seconds for s in sweeps.values())
    teachers = {s.study.teacher: s for s in sweeps.values()}.values()
    tuning = sum(s.teacher + BOOT + IDLE for s in teachers) / HOUR
    store = next(iter(sweeps.values())).storage
    hours, names = seconds / HOUR, ("read", "written", "checkpoints", "kept", "passing")
    total = {k: _sum(allocation, k) for k in names}
    money = {
        "students": sum(s.price * allocation[s.name].hours for s in sweeps.values()),
        "teachers": sum(s.price * (s.teacher + BOOT + IDLE) / HOUR for s in teachers),
        "checkpoints": _stored(store, 0, total["checkpoints"], hours * total["passing"]),
        "storage": _stored(EFS, total["read"], total["written"] - total["checkpoints"],
                           hours * total["kept"]),
        "head": HEAD * hours,
    }  # fmt: skip
    return {
        "hours": hours, "used": _sum(allocation, "gpus"),
        "gpu_hours": _sum(allocation, "hours") + tuning,
        "money": sum(money.values()), "parts": money, "lost": _sum(allocation, "lost"),
        "left": _sum(allocation, "left"), "jobs": _sum(allocation, "jobs"),
        "cohorts": _sum(allocation, "cohorts"), "bytes": total,
        "files": {n: {**asdict(t), "kind": sweeps[n].kind.name, "teacher": sweeps[n].teacher}
                  for n, t in allocation.items()},
    }  # fmt: skip


def _stored(storage: Storage, read: float, written: float, held: float) -> float:
    """Dollars for bytes that are read and written, and byte-hours that are held."""
    held_price = storage.held / MONTH
    return (storage.read * read + storage.written * written + held_price * held) / GB


def _sum(allocation: Mapping[str, Taken], name: str) -> Any:
    return sum(getattr(t, name) for t in allocation.values())


@dataclass(frozen=True)
class Load:
    """The load of a part of the control plane: `base + each * jobs`."""

    part: str
    unit: str
    base: float
    each: float
    limit: float
    evidence: str

    @property
    def breaks_at(self) -> float:
        """Number of concurrent jobs at which the limit is reached."""
        room = max(0.0, self.limit - self.base)
        return room / self.each if self.each else math.inf

    def to_json(self) -> dict[str, Any]:
        at = self.breaks_at
        return {**asdict(self), "breaks_at": None if math.isinf(at) else at}


def on_head(plane: Mapping[str, Any], key: str) -> tuple[float, float]:
    """(load without jobs, load of each job) on the head, in `bytes` or shares of a core (`cpu`)."""
    base, per_job = 0.0, 0.0
    for title, usage in plane["ray"].items():
        if title == "launch":
            base += len(FILES) * usage[key]
        elif title in OF_A_JOB:
            per_job += usage[key] / usage["count"]
        elif title != WORKER:
            base += usage[key]
    return base, per_job


OF_A_JOB = ("ImplicitFunc", "TrainController", "SynchronizationActor", "_QueueActor",
            "PreemptionWatcher")  # fmt: skip
WORKER = "RayTrainWorker"  # on a node with a GPU; a job's other processes may be on the head


def requests_per_trial(plane: Mapping[str, Any], evaluations: int) -> float:
    """Requests to MLflow of a trial: opening it, losses, scores on select, finishing it."""
    requests = plane["mlflow"]["requests"]
    return float(requests["open"] + (TICKS + evaluations) * requests["log"] + requests["finish"])


def loads(
    plane: Mapping[str, Any], sweeps: Sweeps, result: Mapping[str, Any], on_efs: Mapping[str, Any]
) -> list[Load]:
    """Loads of the control plane. `result`: an outcome; its trials and bytes are spread evenly over
    its GPU-hours. `on_efs`: the same with checkpoints on EFS."""
    seconds = HOUR * result["gpu_hours"]
    trials = {n: len(s.plan(1).confirm) for n, s in sweeps.items()}
    evaluations = {n: s.study.config.training.evaluations for n, s in sweeps.items()}
    requests = sum(trials[n] * requests_per_trial(plane, evaluations[n]) for n in sweeps)
    cpu = sum(plane["mlflow"]["cpu_seconds"].values()) / requests_per_trial(plane, TICKS)
    open_requests = plane["mlflow"]["requests"]["open"] * sum(trials.values()) / result["cohorts"]
    cluster_file = yaml.safe_load((HERE.parent / "cluster.yaml").read_text(encoding="utf-8"))
    slots = cluster_file["available_node_types"]["head"]["resources"]["trial_slot"]
    memory, cores = on_head(plane, "bytes"), on_head(plane, "cpu")
    of_head = "measured: what a job has there; the m6i.xlarge of cluster.yaml"
    ray, efs = "tested to, by Ray's scalability envelope", "AWS's documentation of EFS"
    total = result["bytes"]
    read = total["read"] / seconds / GB
    kept = (total["written"] - total["checkpoints"]) / seconds / GB
    written = on_efs["bytes"]["written"] / (HOUR * on_efs["gpu_hours"]) / GB
    return [
        Load("worker nodes", "nodes", 0, 1, cluster_file["max_workers"],
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
             open_requests / STARTS * cpu, SERVERS, "measured: requests that open a trial"),
        Load("Ray's placement groups, one of Tune and one of Train", "groups", 0, 2, 1000, ray),
        Load("Ray's actors", "actors", 0, len(OF_A_JOB) + 1, 20_000, ray),
        Load("Ray's nodes", "nodes", 1, 1, 3000, ray),
        Load("the same, with checkpoints on S3", "GB/s", 0, kept,
             100 * 2**20 / GB, f"{efs}: bursting, its default, below 1 TiB"),
        Load("shared storage as docs/cluster.md makes it, checkpoints included, written", "GB/s",
             0, written, 100 * 2**20 / GB, f"{efs}: bursting, its default, below 1 TiB"),
        Load("shared storage with elastic throughput and checkpoints, written", "GB/s", 0, written,
             5 * 2**30 / GB, f"{efs}: quota in us-west-2"),
        Load("shared storage with elastic throughput, read", "GB/s", 0, read,
             20 * 2**30 / GB, f"{efs}: quota in us-west-2"),
    ]  # fmt: skip


def results(home: Path, names: tuple[str, ...] = tuple(FILES)) -> dict[str, Any]:
    plane = json.loads((HERE / "control_plane.json").read_text(encoding="utf-8"))
    likely = {name: cheapest(name, home) for name in names}

    def sweeps_of(case: Case, kind: Kind | None = None, storage: Storage = S3) -> Sweeps:
        return {n: Sweep(n, home, kind or s.kind, case, storage) for n, s in likely.items()}

    def grid_of(storage: Storage) -> dict[int, dict[str, Any]]:
        cases = {name: sweeps_of(case, storage=storage) for name, case in CASES.items()}
        return {n: {c: outcome(sweeps, n) for c, sweeps in cases.items()} for n in GPUS}

    grid, on_efs = grid_of(S3), grid_of(EFS)
    alone = {k.name: sweeps_of(CASES["likely"], k) for k in KINDS}
    alone = {k: sweeps for k, sweeps in alone.items() if all(s.fits for s in sweeps.values())}
    rows = plane["mlflow"]
    trials = sum(len(s.plan(1).confirm) for s in likely.values())
    return {
        "machine": plane["machine"], "versions": machine.versions(None), "trials": trials,
        "sets": {n: asdict(s) for n, s in SETS.items()},
        "assumed": {
            "kinds": [asdict(k) for k in KINDS], "cases": {n: asdict(c) for n, c in CASES.items()},
            "boot": BOOT, "idle": IDLE, "imports": IMPORTS, "disk": DISK, "head": HEAD,
            "storages": [asdict(s) for s in (S3, EFS)], "seeds": SEEDS,
            "preemption_rate": Cluster().preemption_rate,
        },
        "files": {n: described(s) for n, s in likely.items()},
        "gpus": {str(n): outcomes for n, outcomes in grid.items()},
        "efs": {str(n): outcomes for n, outcomes in on_efs.items()},
        "kinds": {k: {str(n): outcome(s, n) for n in (64, 1000)} for k, s in alone.items()},
        "loads": [x.to_json() for x in loads(
            plane, likely, grid[64]["likely"], on_efs[64]["likely"]
        )],
        "database": {"rows": trials * sum(rows["rows"].values()), "bytes": trials * rows["bytes"],
                     "requests": requests_per_trial(plane, TICKS)},
    }  # fmt: skip


def described(s: Sweep) -> dict[str, Any]:
    plan, parts = s.plan(1), s.parts
    return {
        "kind": s.kind.name, "trials": len(plan.confirm), "steps": s.study.steps,
        "rows": s.study.prepared.counts, "tokens": s.study.mean_tokens,
        "fits": [k.name for k in KINDS if Sweep(s.name, s.home, k, s.case).fits],
        "parts": asdict(parts), "step": s.took(parts.step), "pass": s.took(parts.teach),
        "busy": s.computing(parts.step) / s.took(parts.step),
    }  # fmt: skip


def main() -> None:
    from benchmarks.paper_table import table

    parser = argparse.ArgumentParser(prog="benchmarks.on_paper", description=__doc__)
    parser.add_argument("--home", type=Path, help="a folder that keeps what was counted")
    with tempfile.TemporaryDirectory(prefix="raykd-paper-") as folder:
        record = results(parser.parse_args().home or Path(folder))
    (HERE / "on_paper.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (HERE / "on_paper.md").write_text(table(record), encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
