"""A whole `raykd sweep`, as a person runs it: Ray, workers, MLflow, evaluations and all.

As many cohorts of `students` as SWEEP_SEEDS, in a fresh store and a home with the teacher but no
cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks import frame
from benchmarks.cohort import fresh_home, with_source
from benchmarks.frame import SWEEP_SEEDS, Clock, Outcome, Setting


def sweep_file(setting: Setting) -> dict[str, Any]:
    content = with_source(setting.sweep, "cached")
    training = {**content["training"], "steps": setting.steps}
    strategies = content["confirm"]["strategies"][: setting.students]
    confirm = {"strategies": strategies, "seeds": list(SWEEP_SEEDS)}
    cluster = {"cohort": setting.students, "workers": 1}
    return {**content, "training": training, "confirm": confirm, "cluster": cluster}


def train(setting: Setting, clock: Clock) -> Outcome:
    clock.loaded()
    with fresh_home(setting) as home:
        work = home / "work"
        work.mkdir()
        file = work / "sweep.yaml"
        file.write_text(yaml.safe_dump(sweep_file(setting)), encoding="utf-8")
        environment = {**os.environ, "RAYKD_HOME": str(home), "PYTHONPATH": os.getcwd()}
        clock.start()
        began = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "raykd", "sweep", str(file)],
            cwd=work, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        clock.stop()
        ended = time.time()
        if done.returncode:
            raise RuntimeError(f"raykd sweep: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        runs = _finished(work)
    students = setting.students * len(SWEEP_SEEDS)
    assert len(runs) == students, f"{len(runs)} of {students} trials finished"
    metrics = [run.data.metrics for run in runs]
    clock.peak_mb = max(m["peak_memory_mb"] for m in metrics)
    more = {
        "training_seconds": sum(m["seconds"] + m["teacher_seconds"] for m in metrics),
        # What no student is trained in: until the first one is begun, and after the last one.
        "starting_seconds": min(run.info.start_time for run in runs) / 1000 - began,
        "ending_seconds": ended - max(run.info.end_time for run in runs) / 1000,
    }
    return Outcome(students, clock.seconds, more=more)


def _finished(work: Path) -> list[Any]:
    """The runs of the sweep's finished trials, as its store has them."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, "attributes.status = 'FINISHED'")
    return [r for r in runs if "peak_memory_mb" in r.data.metrics]


if __name__ == "__main__":
    frame.main(train)
