"""Costs of a trial in MLflow, and of a job on the head of a Ray cluster: constants for on_paper.py.

    python -m benchmarks.control_plane    # two minutes; writes control_plane.json beside this file

raykd's own writer logs twelve trials to an MLflow server on PostgreSQL, as training does. Then Ray
Tune starts two jobs as a launch does, with workers that only wait. Counted are requests, rows and
bytes, processor time, and unshared memory, which depend little on the load of the machine. Needs
Debian's PostgreSQL, as the tests do.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from ray.tune import Callback

from benchmarks import machine

HERE = Path(__file__).parent
TRIALS, JOBS, SECONDS, SETTLING = 12, 2, 30.0, 10.0
LAST = ("RayTrainWorker", "PreemptionWatcher")  # the last processes of a job to start
TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")
LOSSES = dict.fromkeys(
    ("loss", "ce", "kl", "hidden", "hidden_1_to_4", "hidden_2_to_8", "hidden_3_to_12"), 0.5
)
SCORES = dict.fromkeys(
    ("test_accuracy", "test_accuracy_mm", "best_select_accuracy", "best_step", "seconds",
     "teacher_seconds", "examples_per_second", "peak_memory_mb"), 1.0,
)  # fmt: skip
FACTS = {"precision": "bf16", "device": "cuda:0", "teacher_source": "live"}


def mlflow(folder: Path) -> dict[str, Any]:
    """Requests (by purpose), processor seconds, rows and bytes of one MNLI trial with ten
    evaluations."""
    from mlflow import MlflowClient

    from benchmarks import paper_work
    from raykd.planning.trials import confirm_trials
    from raykd.tracking import store
    from raykd.tracking.launch import Launch, versions
    from raykd.tracking.writer import Writer
    from raykd.training.distill import TICKS
    from raykd.training.early_stopping import marks
    from raykd.training.recorder import Result

    study = paper_work.study("mnli", folder / "home")
    trials, predictions = (
        confirm_trials(study)[:TRIALS],
        _predictions(study.prepared.counts["test"]),
    )
    tags = {**versions(), "raykd.sweep": "paper-mnli"}
    with _server(folder) as (uri, database), _counted() as sent:
        client = MlflowClient(uri)
        experiment = store.experiment(client, "paper-mnli")
        launch = Launch.start(client, experiment, {}, "benchmarks.control_plane").run_id
        rows, seconds, requests = _rows(database), _seconds(), Counter[str]()
        for trial in trials:
            sent.clear()
            writer = Writer(uri, experiment, launch, trial.id, tags, folder / "spool")
            writer.open(trial, FACTS)
            requests["open"] += len(sent)
            for step in sorted(marks(trial.training.steps, TICKS)):
                for metrics in (LOSSES, {"select_accuracy": 80.0}):
                    sent.clear()
                    writer.log(trial, step, metrics)
                    writer.flush()  # in training, two of these are at least a second apart
                    requests["log"] += len(sent)
            sent.clear()
            writer.finish(trial, Result(SCORES, predictions))
            requests["finish"] += len(sent)
        rows_after, seconds_after = _rows(database), _seconds()
    added = {name: (rows_after[name] - rows[name]) / TRIALS for name in rows}
    return {
        "requests": {n: count / TRIALS / (2 * TICKS if n == "log" else 1)
                     for n, count in requests.items()},
        "cpu_seconds": {n: (seconds_after[n] - seconds[n]) / TRIALS for n in seconds_after},
        "bytes": added.pop("bytes"), "rows": added,
    }  # fmt: skip


def _predictions(rows: int) -> dict[str, Any]:
    index: Any = np.arange(rows)
    logits = {f"logit_{i}": index / 7 for i in range(3)}
    return {"id": index.astype(str), "label": index % 3, "predicted": index % 3,
            "correct": index > 0, **logits}  # fmt: skip


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, str]]:
    """Start MLflow on PostgreSQL; yields the addresses of the server and of its database."""
    from tests.tracking import services
    from tests.tracking.conftest import Server, free_port

    with services.postgres(folder) as database:
        server = Server(folder, free_port(), backend=database)
        server.start()
        try:
            yield server.uri, database
        finally:
            server.signal(signal.SIGKILL)


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Record requests of this process; yields the list of their addresses."""
    import requests

    sent: list[str] = []
    send: Any = requests.Session.send
    session: Any = requests.Session

    def counting(self: Any, request: Any, **options: Any) -> Any:
        sent.append(request.url)
        return send(self, request, **options)

    session.send = counting
    try:
        yield sent
    finally:
        session.send = send


def _seconds() -> dict[str, float]:
    """Processor seconds of the MLflow server and of its database, both children of this process.
    The time of a finished process is counted with its parent."""
    seconds = {"mlflow": 0.0, "postgres": 0.0}
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            name, times = child.name(), child.cpu_times()
            used = times.user + times.system + times.children_user + times.children_system
            seconds["postgres" if name == "postgres" else "mlflow"] += used
    return seconds


def _rows(database: str) -> dict[str, int]:
    import sqlalchemy

    queries = {name: f"SELECT count(*) FROM {name}" for name in TABLES}
    queries["bytes"] = "SELECT pg_database_size(current_database())"
    engine = sqlalchemy.create_engine(database)
    with engine.connect() as connection:
        counts = {
            n: int(connection.execute(sqlalchemy.text(q)).scalar_one()) for n, q in queries.items()
        }
    engine.dispose()
    return counts


class UsageSampler(Callback):  # type: ignore[misc]
    """Samples this process and its children twice, once all processes of the jobs have been up for
    a while."""

    def __init__(self, stop: Path) -> None:
        self._stop = stop
        self._next = self._at = self._quiet = 0.0
        self._first: dict[int, float] = {}
        self.usage: dict[str, dict[str, float]] = {}

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        now = time.monotonic()
        if self.usage or now < self._next:
            return
        self._next = now + 1.0
        processes = {p.pid: p for p in psutil.Process().children(recursive=True) if title(p)}
        if not self._first:
            titles = Counter(title(p) for p in processes.values())
            if any(titles[name] < JOBS for name in LAST):
                self._quiet = now + SETTLING
            elif now > self._quiet:
                processes[os.getpid()] = psutil.Process()
                self._first = {pid: _cpu(p) for pid, p in processes.items()}
                self._at, self._next = now, now + SECONDS
            return
        processes[os.getpid()] = psutil.Process()
        for pid in processes.keys() & self._first.keys():
            usage = self.usage.setdefault(
                title(processes[pid]), {"count": 0, "bytes": 0, "cpu": 0.0}
            )
            usage["count"] += 1
            usage["bytes"] += processes[pid].memory_full_info().uss
            usage["cpu"] += (_cpu(processes[pid]) - self._first[pid]) / (now - self._at)
        self._stop.touch()


def jobs(folder: Path) -> dict[str, dict[str, float]]:
    """Resources of a launch with two jobs, by process title: count, bytes, share of a core."""
    from raykd.cluster.ray_init import NOTICES, SETTINGS

    os.environ.update({**SETTINGS, NOTICES: "1"})  # as on a cluster that is joined
    import ray
    from ray import tune

    from raykd.sweep import sweep  # noqa: F401  a launch has them

    stop = folder / "stop"

    def wait(config: dict[str, Any]) -> None:
        while not Path(config["stop"]).exists():
            time.sleep(0.5)

    def drive(config: dict[str, Any]) -> None:
        from ray.train import RunConfig, ScalingConfig
        from ray.tune.integration.ray_train import TuneReportCallback

        from raykd.cluster.launch import driver, placement_groups  # noqa: F401  a driver has them
        from raykd.sweep.resources import Share

        callbacks = [TuneReportCallback(), placement_groups.NoteController(config["id"])]
        driver.Trainer(
            wait, train_loop_config={"stop": str(stop)},
            backend_config=driver.backend(Share(1, 1, 0, 1)),
            scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(name=config["id"], storage_path=str(folder), callbacks=callbacks),
        ).fit()  # fmt: skip

    ray.init(
        address="local", num_cpus=JOBS, resources={"trial_slot": JOBS}, include_dashboard=False,
        log_to_driver=False, logging_level="CRITICAL",
    )  # fmt: skip
    sampler = UsageSampler(stop)
    try:
        tune.Tuner(
            tune.with_resources(drive, {"CPU": 0, "trial_slot": 1}),
            param_space={"id": tune.grid_search([f"job-{i}" for i in range(JOBS)])},
            run_config=tune.RunConfig(
                name="tune", storage_path=str(folder), verbose=0, callbacks=[sampler]
            ),
        ).fit()
    finally:
        ray.shutdown()
    return sampler.usage


def title(process: psutil.Process) -> str:
    """The class of a Ray actor, `launch` for this process, else the program's name; empty if the
    process has ended."""
    if process.pid == os.getpid():
        return "launch"
    with suppress(psutil.NoSuchProcess):
        words = process.cmdline() or [process.name()]
        if words[0].startswith("ray::"):
            return words[0].removeprefix("ray::").partition(".")[0].partition(" ")[0]
        return process.name()
    return ""


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


PARTS = {"mlflow": mlflow, "ray": jobs}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.control_plane", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="default: both")
    path, part = HERE / "control_plane.json", parser.parse_args().part
    if part is None:  # each part in a new process that has loaded nothing else
        for name in PARTS:
            command = [sys.executable, "-m", "benchmarks.control_plane", name]
            subprocess.run(command, check=True, cwd=HERE.parent)
        return
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    with tempfile.TemporaryDirectory(prefix="raykd-plane-") as folder:
        results[part] = PARTS[part](Path(folder))
    results |= {
        "machine": machine.describe(), "versions": machine.versions(None),
        "setting": {"trials": TRIALS, "jobs": JOBS, "seconds": SECONDS},
    }  # fmt: skip
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(part, json.dumps(results[part], indent=1))


if __name__ == "__main__":
    main()
