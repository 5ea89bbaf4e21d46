"""What a trial costs MLflow, and a job the head of a Ray cluster: constants for on_paper.py.

    python -m benchmarks.control_plane    # two minutes; writes control_plane.json beside this file

Twelve trials are told to an MLflow server on PostgreSQL by raykd's own writer, as training tells
them. Then Ray Tune starts two jobs as a launch does, whose workers do nothing but wait. Counted are
requests, rows and bytes, processor time and memory that no other process shares; none of these
depends much on how busy the machine is. Needs Debian's PostgreSQL, as the tests do.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import machine, paper_work

HERE = Path(__file__).parent
TRIALS, JOBS, SECONDS = 12, 2, 20.0
TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")
LOSSES = {f"hidden_{i}_to_{4 * i}": 0.5 for i in (1, 2, 3)} | dict.fromkeys(
    ("loss", "ce", "kl", "hidden"), 0.5
)


def mlflow(folder: Path) -> dict[str, Any]:
    import requests
    from mlflow import MlflowClient

    from raykd.distill import TICKS, marks
    from raykd.recorder import Result
    from raykd.study import confirm_trials
    from raykd.tracking import store
    from raykd.tracking.launch import Launch, versions
    from raykd.tracking.writer import Writer

    made = paper_work.study("mnli", folder / "home")
    sent: Counter[str] = Counter()
    send, stage = requests.Session.send, "start"

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        sent[stage] += 1
        return send(self, *arguments, **options)

    rows = made.prepared.counts["test"]
    column: Any = np.arange(rows)
    told = {"id": column.astype(str), "label": column % 3, "predicted": column % 3,
            "correct": column > 0, **{f"logit_{i}": column / 7 for i in range(3)}}  # fmt: skip
    with _server(folder) as (uri, database):
        client = MlflowClient(uri)
        experiment = store.experiment(client, "paper-mnli")
        launch = Launch.start(client, experiment, {}, "benchmarks.control_plane")
        before, began = _rows(database), _seconds()
        setattr(requests.Session, "send", counted)  # noqa: B010
        for trial in confirm_trials(made)[:TRIALS]:
            stage = "open"
            writer = Writer(uri, experiment, launch.run_id, trial.id,
                            {**versions(), "raykd.sweep": "paper-mnli"}, folder / "spool")  # fmt: skip
            writer.open(trial, {"precision": "bf16", "device": "cuda:0", "teacher_source": "live"})
            steps = trial.training.steps
            for mark in sorted(marks(steps, TICKS)):
                for found in (LOSSES, {"select_accuracy": 80.0}):
                    stage = "log"
                    writer.log(trial, mark, found)
                    writer.flush()  # in training a second and more lies between two of these
            stage = "finish"
            scores = dict.fromkeys(("test_accuracy", "test_accuracy_m", "test_accuracy_mm",
                                    "best_select_accuracy", "best_step", "seconds",
                                    "teacher_seconds", "examples_per_second",
                                    "peak_memory_mb"), 1.0)  # fmt: skip
            writer.finish(trial, Result(scores, told))
        setattr(requests.Session, "send", send)  # noqa: B010
        spent = {name: (s - began[name]) / TRIALS for name, s in _seconds().items()}
        added = {name: (n - before[name]) / TRIALS for name, n in _rows(database).items()}
    logs = 2 * TICKS
    return {
        "requests": {"open": sent["open"] / TRIALS, "log": sent["log"] / TRIALS / logs,
                     "finish": sent["finish"] / TRIALS},
        "logs": logs, "cpu_seconds": spent, "bytes": added.pop("bytes"), "rows": added,
    }  # fmt: skip


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, str]]:
    """MLflow's and its database's address."""
    from tests.tracking import services
    from tests.tracking.conftest import Server, free_port

    with services.postgres(folder) as database:
        server = Server(folder, free_port(), backend=database)
        server.start()
        try:
            yield server.uri, database
        finally:
            server.signal(signal.SIGKILL)


def _seconds() -> dict[str, float]:
    """Processor time so far, of the server and of its database: both are this process's children.
    That of a process that has ended stands with the one that made it."""
    found = {"mlflow": 0.0, "postgres": 0.0}
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            name, own = child.name(), child.cpu_times()
            took = own.user + own.system + own.children_user + own.children_system
            found["postgres" if name == "postgres" else "mlflow"] += took
    return found


def _rows(database: str) -> dict[str, int]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(database)
    with engine.connect() as base:
        ask = [("bytes", "SELECT pg_database_size(current_database())")]
        ask += [(name, f"SELECT count(*) FROM {name}") for name in TABLES]
        found = {name: int(base.execute(sqlalchemy.text(query)).scalar_one()) for name, query in ask}
    engine.dispose()
    return found


def jobs(folder: Path) -> dict[str, Any]:
    """Of one job, by what a process is there for: how many, bytes of its own, share of a core."""
    from raykd.cluster.machine import NOTICES, SETTINGS

    os.environ.update({**SETTINGS, NOTICES: "1"})  # as on a joined cluster
    import ray
    from ray import tune

    stop = folder / "stop"

    def wait(config: dict[str, Any]) -> None:
        while not Path(config["stop"]).exists():
            time.sleep(0.5)

    def drive(config: dict[str, Any]) -> None:
        from ray.train import RunConfig, ScalingConfig
        from ray.tune.integration.ray_train import TuneReportCallback

        from raykd.cluster import driver, leftovers  # noqa: F401

        how = ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1})
        run = RunConfig(name=config["id"], storage_path=str(folder),
                        callbacks=[TuneReportCallback(), leftovers.NoteController(config["id"])])  # fmt: skip
        driver.Trainer(
            wait, train_loop_config={"stop": str(stop)}, backend_config=driver.backend({"workers": 1}),
            scaling_config=how, run_config=run,
        ).fit()  # fmt: skip

    class Look(tune.Callback):
        first: dict[int, float] | None = None
        at = next = 0.0
        found: dict[str, Any] = {}  # noqa: RUF012

        def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
            now = time.monotonic()
            if stop.exists() or now < self.next:
                return
            self.next = now + 1
            there = {p.pid: p for p in psutil.Process().children(recursive=True) if _title(p)}
            workers = sum(_title(p) == "RayTrainWorker" for p in there.values())
            there[os.getpid()] = psutil.Process()
            if self.first is None and workers == JOBS:
                self.first, self.next = {pid: _cpu(p) for pid, p in there.items()}, now + SECONDS
                self.at = now
            elif self.first is not None:
                for pid in there.keys() & self.first.keys():
                    kind = "launch" if pid == os.getpid() else _title(there[pid])
                    own = self.found.setdefault(kind, {"count": 0, "bytes": 0, "cpu": 0.0})
                    own["count"] += 1
                    own["bytes"] += there[pid].memory_full_info().uss
                    own["cpu"] += (_cpu(there[pid]) - self.first[pid]) / (now - self.at)
                stop.touch()

    ray.init(address="local", num_cpus=JOBS, resources={"trial_slot": JOBS}, include_dashboard=False,
             log_to_driver=False, logging_level="CRITICAL")  # fmt: skip
    look = Look()
    try:
        tune.Tuner(
            tune.with_resources(drive, {"CPU": 0, "trial_slot": 1}),
            param_space={"id": tune.grid_search([f"job-{i}" for i in range(JOBS)])},
            run_config=tune.RunConfig(name="tune", storage_path=str(folder), verbose=0,
                                      callbacks=[look]),
        ).fit()  # fmt: skip
    finally:
        ray.shutdown()
    return look.found


def _title(process: psutil.Process) -> str:
    """The class of a Ray actor, else the program; nothing where it has ended."""
    with suppress(psutil.NoSuchProcess):
        words = process.cmdline() or [process.name()]
        if words[0].startswith("ray::"):
            return words[0].removeprefix("ray::").partition(".")[0].partition(" ")[0]
        return process.name()
    return ""


def _cpu(process: psutil.Process) -> float:
    own = process.cpu_times()
    return own.user + own.system


def main() -> None:
    found: dict[str, Any] = {"machine": machine.describe(), "versions": machine.versions(None)}
    for name, measure in (("mlflow", mlflow), ("ray", jobs)):
        with tempfile.TemporaryDirectory(prefix="raykd-plane-") as folder:
            found[name] = measure(Path(folder))
    found["setting"] = {"trials": TRIALS, "jobs": JOBS, "seconds": SECONDS}
    path = HERE / "control_plane.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
