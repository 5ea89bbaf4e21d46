"""A launch from its first moment to its last, with jobs that end before they train."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from raykd.cluster.launch import run as launches
from raykd.cluster.launch.tally import Tally
from raykd.sweep.status import status
from raykd.sweep.sweep import Sweep
from raykd.tracking.costs import Forecast
from raykd.tracking.launch import NOW, last_end, newest
from raykd.tracking.writer import Writer

from ...support.world import write_sweep


def test_trials_of_lost_cohorts_do_not_run_when_the_launch_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cluster 10, and 3: the heart beats while Ray starts, with figures while jobs run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("raykd.tracking.launch.BEAT_SECONDS", 0.01)
    sweep = Sweep.open(write_sweep(tmp_path))
    state, ledger = sweep.state(), sweep.ledger

    def tags() -> dict[str, str]:
        run = newest(ledger.client, ledger.experiment)
        assert run is not None
        return dict(run.data.tags)

    def beats(*, with_figures: bool) -> None:
        first = tags()["raykd.heartbeat"]
        while tags()["raykd.heartbeat"] == first or (NOW in tags()) != with_figures:
            time.sleep(0.01)

    @contextmanager
    def started() -> Iterator[None]:
        beats(with_figures=False)
        yield

    def lost(*_: object) -> None:
        beats(with_figures=True)
        run = newest(ledger.client, ledger.experiment)
        assert run is not None
        writing = Writer(ledger.uri, ledger.experiment, run.info.run_id, "c", {})
        assert all(writing.open(trial, {}) for trial in state.plan.missing[:3])

    monkeypatch.setattr(launches, "local_ray", started)
    monkeypatch.setattr(launches, "_tune", lost)
    monkeypatch.setattr(launches.LaunchSettings, "of", lambda *_: None)
    monkeypatch.setattr(launches.placement_groups, "free_rest", lambda: 0)
    outcome = launches.run(state, cast(Any, None), Tally(), Forecast({}, time.time()))
    assert outcome.count == 6
    shown = status(state.updated())  # by what the launch itself has read last
    assert (shown.running, shown.missing) == (0, 6)
    assert {r.status for r in ledger.refresh()} == {"interrupted"}
    end = last_end(ledger.client, ledger.experiment)
    assert end is not None and end.status == "failed"
