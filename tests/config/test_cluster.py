"""Numbers of workers and GPUs that no machine could use well are refused in a line (cluster 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from raykd.config.cluster import Cluster
from raykd.config.yaml_file import explain, line
from raykd.errors import UserError
from raykd.sweep.resources import Node, share
from raykd.sweep.sweep import Sweep

from ..support.world import write_sweep


def refusal(**keys: Any) -> str:
    with pytest.raises(ValidationError) as told:
        Cluster(**keys)
    (problem,) = explain(told.value, Cluster)
    return line(Path("s.yaml"), problem)


def test_gpus_that_would_idle_or_be_taken_twice_are_refused() -> None:
    idle = refusal(gpus_per_worker=2)
    assert idle.startswith("s.yaml: gpus_per_worker: 2 will not do") and "write 1" in idle
    assert "1.5" in refusal(gpus_per_worker=1.5)
    twice = refusal(workers=2, gpus_per_worker=0.5)
    assert twice.startswith("s.yaml: gpus_per_worker: 0.5 will not do with 2 workers")
    for workers, gpus in ((1, 0.5), (1, 1), (2, 1), (2, 0), (4, None)):
        assert Cluster(workers=workers, gpus_per_worker=gpus).gpus_per_worker == gpus


@pytest.mark.parametrize("workers", [{"min": 1, "max": 4}, {"min": 2}, [1, 4]])
def test_a_range_of_workers_is_refused(workers: object) -> None:
    said = refusal(workers=workers)
    assert said.startswith("s.yaml: workers: ") and "write one number" in said
    assert "change its results" in said and "\n" not in said


def test_workers_of_the_command_line_are_no_way_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = write_sweep(tmp_path, cluster={"gpus_per_worker": 0.5})
    with pytest.raises(UserError, match="cluster.gpus_per_worker: 0.5 will not do with 2 workers"):
        Sweep.open(sweep, workers=2)


@pytest.mark.parametrize(
    ("gpus_per_worker", "gpus", "at_once"),
    [(0.6, 2, 2), (0.5, 2, 4), (0.1, 1, 10), (0.3, 2, 6), (1 / 3, 1, 3), (1, 2, 2)],
)
def test_a_fraction_is_of_one_gpu(gpus_per_worker: float, gpus: int, at_once: int) -> None:
    """As Ray counts it, so that no cohort waits for a place that there never is."""
    cluster = Cluster(gpus_per_worker=gpus_per_worker, cpus_per_worker=1)
    assert share(cluster, [Node(64, gpus)], 64, "s.yaml").at_once == at_once
