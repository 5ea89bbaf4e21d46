"""Nodes that do not have raykd are sent its code, by a sweep that joins from a machine of the
cluster and by one that `ray job submit` sends there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raykd.tracking import store

from ...support.plugins import with_plugin
from ...support.world import write_sweep
from .helpers import RAYKD, once_each, records
from .nodes import Nodes, without_raykd

pytestmark = pytest.mark.long

SUBMIT = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit"]


@pytest.fixture
def bare(folder: Path) -> Iterator[Nodes]:
    """A head that has raykd and takes jobs, and two worker nodes that do not have it."""
    cluster = Nodes(folder, jobs=True)
    cluster.start(workers=2, bare=True)
    yield cluster
    cluster.end()


def hidden_losses(folder: Path) -> set[str]:
    """The losses of the sweep's runs, each of which has finished once."""
    found = records(folder, "tiny-smoke")
    assert once_each(found)
    client = store.connect(store.resolve(None, folder))
    return {client.get_run(r.run_id).data.params["hidden_loss"] for r in found}


def test_nodes_without_raykd_train_with_its_code_and_a_plugin(folder: Path, bare: Nodes) -> None:
    """cluster 11."""
    env = {**os.environ, **without_raykd(folder)}
    seen = subprocess.run([*RAYKD, "--version"], env=env, capture_output=True, cwd=folder)
    assert seen.returncode != 0  # the nodes' Python does not have it

    sweep = write_sweep(folder, **with_plugin(folder, options={"exponent": 1.5}))
    process = bare.raykd("sweep", sweep, "--smoke", "--workers", 2)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert hidden_losses(folder) == {"half_power"}


def test_a_job_trains_on_nodes_without_raykd(folder: Path, bare: Nodes) -> None:
    """cluster 11: what the job brings itself (a working directory and variables) is kept."""
    sent = folder / "sent"
    sent.mkdir()
    keys = with_plugin(sent, options={"exponent": 1.5})
    shutil.move(write_sweep(folder, **keys), sent)
    environment = {"env_vars": {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}}
    where = ["--working-dir", str(sent), "--runtime-env-json", json.dumps(environment)]
    command = [*RAYKD, "sweep", "sweep.yaml", "--address", "auto", "--smoke"]
    job = [*SUBMIT, "--address", bare.dashboard, *where, "--", *command]
    done = subprocess.run(job, env=bare.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert hidden_losses(folder) == {"half_power"}
