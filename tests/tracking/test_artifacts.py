"""Curves read back from MLflow."""

from __future__ import annotations

from pathlib import Path

from mlflow.entities import Metric

from raykd.tracking import artifacts, store


def test_curves_by_run_each_step_once_as_it_was_logged_last(tmp_path: Path) -> None:
    client = store.connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = store.experiment(client, "curves")
    runs = [str(client.create_run(experiment).info.run_id) for _ in range(3)]
    logged = [(10, 70.0, 1), (20, 80.0, 2), (20, 81.0, 4), (30, 85.0, 5)]
    client.log_batch(runs[0], [Metric("select_f1", v, t, s) for s, v, t in reversed(logged)])
    client.log_batch(runs[1], [Metric("select_f1", 60.0, 1, 10), Metric("other", 1.0, 1, 10)])
    assert artifacts.curves(client, runs, "select_f1") == {
        runs[0]: ((10, 70.0), (20, 81.0), (30, 85.0)),
        runs[1]: ((10, 60.0),),
        runs[2]: (),
    }
