"""One job on all cores or two on half of them: measured once, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from raykd.cluster import cores as split
from raykd.cluster.cores import jobs_at_once, steppers, turn, two_pay
from raykd.config.cluster import Cluster
from raykd.sweep.resources import Node, share


def test_two_jobs_have_to_be_clearly_faster() -> None:
    assert two_pay(whole=1.0, halves=1.5)
    assert not two_pay(whole=1.0, halves=2.5)
    assert not two_pay(whole=1.0, halves=1.99)  # a gain within the noise is none


def test_the_probe_trains_both_ways_in_two_processes_that_end_with_it() -> None:
    with pytest.raises(KeyboardInterrupt), steppers(width=32) as processes:
        assert [p.poll() for p in processes] == [None, None]
        assert turn(processes[:1], threads=2) > 0 and turn(processes, threads=1) > 0
        raise KeyboardInterrupt
    assert [p.poll() for p in processes] == [0, 0]


@pytest.mark.parametrize(("times", "jobs"), [((1.0, 1.0), 2), ((1.0, 3.0), 1)])
def test_the_answer_is_kept(
    times: tuple[float, float], jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split, "measure", lambda cores, width: times)
    assert jobs_at_once(tmp_path, 2, 384) == jobs
    monkeypatch.setattr(split, "measure", None)
    assert jobs_at_once(tmp_path, 2, 384) == jobs


def test_a_single_core_has_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "measure", None)
    assert jobs_at_once(tmp_path, 1, 384) == 1


@pytest.mark.parametrize(("cores", "jobs"), [(2, 1), (2, 2), (8, 2), (1, 1)])
def test_workers_times_threads_never_exceed_the_cores(cores: int, jobs: int) -> None:
    found = share(Cluster(), [Node(cores, 0)], cores, "f", jobs)
    assert found.at_once == jobs
    assert found.at_once * found.workers * found.cpus <= cores
