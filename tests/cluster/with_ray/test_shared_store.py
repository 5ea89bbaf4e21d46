"""A team's stores: MLflow's server on PostgreSQL, artifacts and checkpoints in S3. A sweep into
them, which loses its workers and is killed on the way, gives the table of a laptop's file."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from raykd.sweep import strategy_table
from raykd.sweep.sweep import Sweep
from raykd.tracking import ledger
from raykd.tracking.ledger import Record

from ...support.world import write_sweep
from ...tracking import services
from ...tracking.conftest import Server, free_port
from . import faults
from .helpers import SLOW, WHOLE, logged, once_each, scores, start, wait_until, workers


@pytest.fixture
def team(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Server, Any]]:
    """The server, which this process's sweeps are told of, and the bucket."""
    apart = tmp_path_factory.mktemp("team")
    with services.s3("raykd") as s3, services.postgres(apart) as database:
        for key, value in {**services.KEYS, "AWS_ENDPOINT_URL": s3}.items():
            monkeypatch.setenv(key, value)
        server = Server(apart, free_port(), backend=database, artifacts="s3://raykd/artifacts")
        server.start()
        assert server.process is not None
        try:
            yield server, boto3.resource("s3", region_name="us-east-1").Bucket("raykd")
        finally:
            server.process.terminate()
            server.process.wait()


def test_a_sweep_into_postgres_and_s3_gives_the_table_of_sqlite(
    folder: Path,
    in_peace: tuple[Record, ...],
    team: tuple[Server, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, bucket = team
    cluster = {**WHOLE, "checkpoints": "s3://raykd/jobs", "checkpoint_seconds": 0}
    file = write_sweep(folder, training=SLOW, cluster=cluster)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)

    def stored() -> set[str]:
        """The checkpoints in the bucket, by their folder."""
        return {
            key.key.rpartition("/")[0]
            for key in bucket.objects.filter(Prefix="jobs/")
            if key.key.endswith(".pt")
        }

    (folder / "begun").mkdir()
    faults.install(monkeypatch, folder, faults.GATE + faults.BEGUN)
    faults.gate(folder, {"all": 20})
    process = start("sweep", file)
    wait_until(stored, process)
    for worker in wait_until(lambda: workers(folder), process):
        worker.kill()
    faults.gate(folder, {"all": 29})
    wait_until(logged(folder, 24), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert faults.begun(folder).total() >= 6  # the first cohort's three, twice
    faults.open_gate(folder)
    process = start("sweep", file)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    # The first cohort goes on from its newest checkpoint, which is stored after its losses.
    assert faults.begun(folder) in ({18: 3, 0: 3}, {24: 3, 0: 3})
    assert not stored() and not list((folder / "home").rglob("*.pt"))
    shared = Sweep.open(file)
    assert shared.ledger.uri == server.uri
    found = shared.ledger.refresh()
    assert once_each(found) and len(found) == 6
    assert scores(found) == scores(in_peace)
    metric = shared.study.config.task.metric
    assert strategy_table.rows(found, metric) == strategy_table.rows(in_peace, metric)
    for record in found:
        kept = {a.path for a in shared.ledger.client.list_artifacts(record.run_id)}
        assert {"predictions.parquet", "trial.json"} <= kept
    first = next(r for r in found if r.seed == 0)
    student = ledger.download(shared.ledger.client, first.run_id, "student", folder / "student")
    assert student is not None and (student / "model.safetensors").exists()
    assert list(bucket.objects.filter(Prefix="artifacts/"))
