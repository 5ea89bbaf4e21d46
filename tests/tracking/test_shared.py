"""The store of a team: MLflow's server on PostgreSQL, artifacts in S3. What it holds of a sweep is
what a laptop's file holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raykd.data.assets import packages
from raykd.sweep import strategy_table
from raykd.sweep.sweep import Sweep
from raykd.tracking import ledger, store

from ..support.finished import finish
from ..support.world import write_sweep
from . import services
from .conftest import Server, free_port

TIMES = {"seconds", "teacher_seconds", "examples_per_second", "peak_memory_mb"}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("team")
    with services.s3("raykd") as s3:
        keys = {**services.KEYS, "MLFLOW_S3_ENDPOINT_URL": s3}
        running = Server(
            folder, free_port(), backend=postgres, artifacts="s3://raykd/artifacts", keys=keys
        )
        running.start()
        yield running
        assert running.process is not None
        running.process.terminate()
        running.process.wait()


def scores(sweep: Sweep) -> dict[str, dict[str, float]]:
    return {
        r.trial: {k: v for k, v in r.metrics.items() if k not in TIMES}
        for r in sweep.ledger.refresh()
    }


def test_a_sweep_into_postgres_and_s3_gives_the_table_of_sqlite(
    team: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    for key in services.KEYS:
        monkeypatch.delenv(key, raising=False)  # the server alone has them
    file = write_sweep(tmp_path)
    alone = finish(file)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.uri)
    shared = finish(file)
    assert shared.ledger.uri == team.uri
    metric = shared.study.config.task.metric
    assert scores(shared) == scores(alone)
    assert strategy_table.rows(shared.ledger.refresh(), metric) == strategy_table.rows(
        alone.ledger.refresh(), metric
    )
    for record in shared.ledger.refresh():
        kept = {a.path for a in shared.ledger.client.list_artifacts(record.run_id)}
        assert {"predictions.parquet", "trial.json"} <= kept
    first = next(r for r in shared.ledger.refresh() if r.seed == 0)
    student = ledger.download(shared.ledger.client, first.run_id, "student", tmp_path / "student")
    assert student is not None and (student / "model.safetensors").exists()


def test_the_database_itself_is_a_store_too(postgres: str) -> None:
    client = store.connect(postgres)
    experiment = store.experiment(client, "by its address")
    assert store.find_experiment(client, "by its address") == experiment
    assert ledger.read(client, experiment, packages.home()) == ()
