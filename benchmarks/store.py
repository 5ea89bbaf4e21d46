"""What a large store costs: `raykd --help`, `plan`, `status` and a resumed launch up to its first
cohort, with 10, 1,000 and 10,000 finished trials. Run as `python -m benchmarks.store`.

The trials of a store are copies of one that `Writer` wrote, each with the tags, params and scores
of its own; their artifacts, which nothing here reads, are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).parents[1]
COUNTS = (10, 1_000, 10_000)
REPEATS = 3
APART_MS = 5_000  # from one trial's end to the next one's
STRATEGIES = ("none", "forward", "reverse", "all_to_one", "last")
LOSSES = {
    "loss": 1.5, "ce": 0.6, "kl": 0.2, "hidden": 0.7, "hidden_1_to_2": 0.6, "hidden_2_to_4": 0.8
}  # fmt: skip

Row = dict[str, Any]


def measure(counts: Sequence[int] = COUNTS) -> dict[str, dict[str, list[float]]]:
    """Seconds of every repeat, each in a fresh process, by count of trials and by what was run."""
    seconds = {}
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="raykd-store-") as name:
            folder = Path(name)
            make(folder, count)
            seconds[str(count)] = {
                "help": [_command(folder, "--help") for _ in range(REPEATS)],
                "plan": [_command(folder, "plan", "sweep.yaml", "--json") for _ in range(REPEATS)],
                "status": [
                    _command(folder, "status", "sweep.yaml", "--json") for _ in range(REPEATS)
                ],
                "launch": [_launch(folder) for _ in range(REPEATS)],
            }
    return seconds


# The store


def make(folder: Path, finished: int) -> Path:
    """A sweep file, of which `finished` trials are in the store beside it and five are missing."""
    from tests.support.world import write_sweep

    os.environ["RAYKD_HOME"] = str(folder / "home")
    file = write_sweep(
        folder,
        teacher={"model": str(folder / "model"), "fine_tune": False, "allow_weak": True},
        tracking={"uri": f"sqlite:///{folder / 'mlflow.db'}"},
        cluster={"cohort": 8},
        confirm={
            "strategies": list(STRATEGIES),
            "seeds": finished // len(STRATEGIES) + 1,
        },
    )
    from raykd.planning.trials import confirm_trials
    from raykd.sweep.sweep import Sweep
    from raykd.sweep.teacher import ready_teacher
    from raykd.tracking import store
    from raykd.tracking.launch import Launch

    sweep = Sweep.open(file)
    ready_teacher(sweep.study, sweep.ledger)
    config = sweep.study.config.model_dump(mode="json")
    experiment = store.experiment(sweep.ledger.client, sweep.study.config.name)
    launch = Launch.start(sweep.ledger.client, experiment, config, sweep.state().command)
    trials = confirm_trials(sweep.study)[:finished]
    multiply(sweep.ledger.uri, one(sweep.ledger.uri, experiment, launch.run_id, trials[0]), trials)
    launch.end("FINISHED")
    return file


def one(uri: str, experiment: str, launch: str, trial: Any) -> str:
    """Write the run of one trial as training does, with two matched blocks; returns its id."""
    from raykd.tracking.launch import versions
    from raykd.tracking.writer import Writer
    from raykd.training.distill import TICKS
    from raykd.training.early_stopping import marks
    from raykd.training.recorder import Result

    writer = Writer(uri, experiment, launch, "c" * 12, {**versions(), "raykd.sweep": "tiny"})
    writer.open(trial, {"precision": "fp32", "device": "cpu"})
    steps, metric = trial.training.steps, trial.metric
    for step in sorted(marks(steps, TICKS)):
        writer.log(trial, step, LOSSES)
    for step in sorted(marks(steps, trial.training.evaluations)):
        writer.log(trial, step, {f"select_{metric}": 80.0})
    scores = {
        f"test_{metric}": 80.0, f"best_select_{metric}": 80.0, "best_step": float(steps),
        "seconds": 9.0, "teacher_seconds": 1.0, "examples_per_second": 21.0,
        "peak_memory_mb": 512.0,
    }  # fmt: skip
    predictions = {"id": ["a"], "label": [0], "predicted": [0], "correct": [True]}
    writer.finish(trial, Result(scores, predictions))
    run_id: str = writer._runs[trial.id]
    return run_id


def multiply(uri: str, template: str, trials: Sequence[Any], history: bool = True) -> None:
    """Write every trial but the first, as copies of the first run's rows in the database. Without
    `history`, only the newest values of metrics are copied."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    with engine.begin() as database:
        _copies(database, template, trials, history)
    engine.dispose()


def _copies(database: Any, template: str, trials: Sequence[Any], history: bool) -> None:
    from sqlalchemy import text

    from raykd.tracking.writer import run_name, trial_params, trial_tags

    rng = random.Random(0)
    runs = [(trial, uuid4().hex, i) for i, trial in enumerate(trials) if i]

    def copy(table: str, change: Callable[[Row, Any, int], Row | None]) -> None:
        query = text(f"SELECT * FROM {table} WHERE run_uuid = :run")
        rows = [dict(row) for row in database.execute(query, {"run": template}).mappings()]
        new = [
            changed
            for trial, run_id, i in runs
            for row in rows
            if (changed := change({**row, "run_uuid": run_id}, trial, i)) is not None
        ]
        if new:
            names = ", ".join(new[0])
            values = ", ".join(f":{name}" for name in new[0])
            database.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), new)

    def run(row: Row, trial: Any, i: int) -> Row:
        artifacts = row["artifact_uri"].replace(template, row["run_uuid"])
        before = APART_MS * (len(trials) - i)
        start, end = row["start_time"] - before, row["end_time"] - before
        return {
            **row, "name": run_name(trial), "artifact_uri": artifacts, "start_time": start,
            "end_time": end,
        }  # fmt: skip

    def tag(row: Row, trial: Any, i: int) -> Row:
        values = {**trial_tags(trial), "mlflow.runName": run_name(trial)}
        return {**row, "value": values.get(row["key"], row["value"])}

    def param(row: Row, trial: Any, i: int) -> Row | None:
        values = trial_params(trial)
        return {**row, "value": values[row["key"]]} if row["key"] in values else None

    def metric(row: Row, trial: Any, i: int) -> Row:
        return {**row, "value": row["value"] * rng.uniform(0.9, 1.1)}

    for table, change in (
        ("runs", run), ("tags", tag), ("params", param), ("latest_metrics", metric),
        *([("metrics", metric)] if history else []),
    ):  # fmt: skip
        copy(table, change)


# What is timed


def _process(folder: Path, *arguments: str) -> tuple[float, str]:
    """Wall seconds of a Python process in the store's folder, and what it prints."""
    env = {
        **os.environ,
        "RAYKD_HOME": str(folder / "home"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    began = time.perf_counter()
    process = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True
    )
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {process.stderr}")
    return seconds, process.stdout


def _command(folder: Path, *arguments: str) -> float:
    return _process(folder, "-m", "raykd", *arguments)[0]


def _launch(folder: Path) -> float:
    program = "from benchmarks.store import launch; launch('sweep.yaml')"
    return float(_process(folder, "-c", program)[1].split()[-1])


class _Enough(BaseException):
    """Raised when the first cohort is suggested, to end the launch."""


def launch(file: str) -> None:
    """Print the seconds that `raykd sweep` takes from its first line to its first cohort. Ray is
    imported before and never started: what Ray takes for itself is left out."""
    import ray.train.torch
    import ray.tune  # noqa: F401

    began = time.perf_counter()
    from raykd.cli import app, errors

    errors.quiet()
    from raykd.cluster.launch import run

    def first(plan: Any, searcher: Any, *rest: Any) -> None:
        assert searcher.suggest("first")["job"]
        raise _Enough

    without_ray: Any = run
    without_ray._tune = first
    without_ray.local_ray = contextlib.nullcontext
    without_ray.ray.shutdown = lambda: None
    with contextlib.suppress(_Enough):
        app.app(["sweep", file], standalone_mode=False)
    print(time.perf_counter() - began)


def table(results: dict[str, dict[str, list[float]]]) -> str:
    names = list(next(iter(results.values())))
    lines = [f"{'trials':>8}" + "".join(f"{name:>10}" for name in names)]
    for count, times in results.items():
        medians = (statistics.median(times[name]) for name in names)
        lines.append(f"{int(count):>8,}" + "".join(f"{m:>8.2f} s" for m in medians))
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)))
    counts = parser.parse_args().counts.split(",")
    print(table(measure([int(n) for n in counts])))
