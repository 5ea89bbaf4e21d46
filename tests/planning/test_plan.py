"""How confirm's trials are cut into cohorts and shared out over jobs that run at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.config.sweep import load
from raykd.planning.plan import Explored, Plan, Power, make
from raykd.planning.resolve import resolve
from raykd.planning.study import Study

from ..support.world import write_sweep

STRATEGIES = ["none", "forward", "reverse", "all_to_one"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder: Path = tmp_path_factory.mktemp("world")
    confirm = {"strategies": STRATEGIES, "seeds": 3}
    sweep = write_sweep(folder, confirm=confirm, cluster={"cohort": 4})
    return resolve(load(sweep), folder / "home", str(sweep))


def plan(study: Study, at_once: int, finished: frozenset[str] = frozenset()) -> Plan:
    return make(study, finished, Explored({}), 2**40, Power(1, 0, at_once))


def test_jobs_at_once_have_as_much_to_do(study: Study) -> None:
    """Three seeds of four trials on two jobs: 4 + 2 each, not 8 and 4."""
    made = plan(study, 2)
    jobs = made.jobs(made.confirm)
    assert [[len(c.trials) for c in job] for job in jobs] == [[4, 2], [4, 2]]


@given(at_once=st.integers(1, 5), size=st.integers(1, 5), over=st.integers(0, 12))
def test_a_launch_that_goes_on_finds_the_same_jobs(
    study: Study, at_once: int, size: int, over: int
) -> None:
    """Whatever is finished, jobs and cohorts keep their trials, so their checkpoints are found;
    each trial is in one of them, and none is handed out for nothing."""
    first = replace(plan(study, at_once), cohort_size=size)
    jobs = first.jobs(first.confirm)
    trials = Counter(t.id for job in jobs for cohort in job for t in cohort.trials)
    assert trials == Counter(t.id for t in first.confirm)
    assert all(len(c.trials) <= size for job in jobs for c in job)
    finished = frozenset(t.id for t in first.confirm[:over])
    later = replace(first, finished=finished).jobs(first.confirm)
    left = [j for j in jobs if any(t.id not in finished for c in j for t in c.trials)]
    assert later == left
    assert {c.id for c in replace(first, finished=finished).cohorts} <= {
        c.id for job in left for c in job
    }
