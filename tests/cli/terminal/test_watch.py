"""`raykd status --watch`: what a launch counts, how it is told, and when the watching ends."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.cli.terminal import watch
from raykd.cluster.launch.tally import Tally
from raykd.config.cohort import Cohort
from raykd.sweep.status import status
from raykd.sweep.sweep import Sweep
from raykd.tracking import store
from raykd.tracking.launch import NOW, TAG, Launch, LaunchEnd
from raykd.tracking.writer import Writer

from ...support.specs import spec
from ...support.world import write_sweep


def cohort(seed: int) -> Cohort:
    return Cohort(tuple(replace(spec(), strategy=s, seed=seed) for s in ("forward", "reverse")))


def test_a_launch_counts_what_its_jobs_report() -> None:
    tally, one, two = Tally(), cohort(0), cohort(1)
    steps = one.trials[0].training.steps
    tally.begin(0, 4, {"explore": 0, "confirm": steps}, ())
    assert tally.now() == {
        "share_done": 0.0, "cohorts_done": 0, "cohorts_running": 0, "lost": [],
    }  # fmt: skip
    tally.started((one, two))
    tally.tick(one, 1, 64, {})
    tally.tick(one, steps, 64, {one.trials[0].id: 80.0, one.trials[1].id: 70.0})
    now = tally.now()
    assert (now["cohorts_done"], now["cohorts_running"]) == (1, 1)
    assert now["share_done"] == 0.5 and now["seconds_left"] > 0
    assert (now["best"], now["worst"]) == (("forward", 80.0), ("reverse", 70.0))
    # A cohort that goes back to a checkpoint has that much less behind it.
    tally.tick(two, steps, 0, {})
    assert tally.now()["share_done"] == 1.0
    tally.tick(two, steps // 2, 0, {})
    assert tally.now()["share_done"] == 0.75
    for _ in range(5):
        tally.ended((two,), "its worker was lost")
    lost = tally.now()["lost"]
    assert len(lost) == 3 and two.id in lost[0]
    tally.failed("a job waits: OSError: full")
    assert tally.now()["lost"] == [*lost[1:], "a job waits: OSError: full"]
    json.dumps(tally.now())


def test_what_is_said_of_lost_cohorts_fits_a_tag_of_mlflow() -> None:
    """Cluster 10: of a job of hundreds of cohorts, with an error of any length."""
    tally, job = Tally(), tuple(cohort(seed) for seed in range(300))
    for _ in range(3):
        tally.ended(job, "OSError: " + "x" * 9000)
    lost = tally.now()["lost"]
    assert job[0].id in lost[0] and "and 295 more" in lost[0] and lost[0].endswith("...")
    assert len(json.dumps(tally.now(), ensure_ascii=False)) < TAG


def test_what_was_finished_before_is_no_part_of_it() -> None:
    """A strategy that a sweep file gained: its cohorts hold finished trials too."""
    tally, one, two = Tally(), cohort(0), cohort(1)
    steps = one.trials[0].training.steps
    tally.begin(0, 2, {"explore": 0, "confirm": steps}, {one.trials[0].id, two.trials[0].id})
    tally.tick(one, steps // 2, 64, {})
    tally.tick(one, steps, 64, {})
    assert tally.now()["share_done"] == 0.5 and tally.now()["seconds_left"] > 0
    tally.tick(two, steps, 64, {})
    assert tally.now()["share_done"] == 1.0 and tally.now()["seconds_left"] == 0


def test_best_and_worst_so_far_take_the_newest_score_of_each_and_of_those_that_are_over() -> None:
    tally, one, two = Tally(), cohort(0), cohort(1)
    steps = one.trials[0].training.steps
    tally.begin(0, 4, {"explore": 0, "confirm": steps}, ())
    (a, b), (c, d) = ([t.id for t in each.trials] for each in (one, two))
    tally.tick(one, 1, 64, {a: 10.0, b: 99.0})
    tally.tick(one, steps, 64, {a: 80.0, b: 70.0})
    tally.ended((one,), None)
    tally.tick(two, 1, 64, {c: 60.0, d: 75.0})
    assert (tally.now()["best"], tally.now()["worst"]) == (("forward", 80.0), ("forward", 60.0))
    tally.tick(two, steps, 64, {c: 90.0, d: 75.0})
    assert (tally.now()["best"], tally.now()["worst"]) == (("forward", 90.0), ("reverse", 70.0))
    assert not tally._scores  # nothing of a trial is kept when its cohort is over


NOW_TOLD: dict[str, Any] = {
    "share_done": 0.25, "cohorts_done": 3, "cohorts_running": 2, "lost": ["cohorts a were lost: x"],
    "examples_per_second": 1234.5, "seconds_left": 600.0, "best": ["forward", 81.0],
    "worst": ["none", 77.0], "seconds": 300.0, "worker_hours": 1.5, "gpu_hours": 1.5, "money": 3.0,
    "nodes": 4, "coming": 2, "going": 1, "cpus": [6.0, 8.0], "gpus": [3.0, 4.0],
}  # fmt: skip


def test_what_is_told_is_all_there() -> None:
    line = watch.launch_line(NOW_TOLD)
    for part in ("25 %", "3 done 2 running", "1,234 examples/s", "10 min left",
                 "4 nodes, 2 coming, 1 going", "6 of 8 CPUs", "3 of 4 GPUs", "1.50 GPU-hours",
                 "3.00 spent, 9.00 to come", "best forward 81.0"):  # fmt: skip
        assert part in line
    assert line.startswith("running: 25 %")
    assert watch.launch_line({}) == "starting Ray"
    begun = {"share_done": 0.0, "cohorts_done": 0, "cohorts_running": 0, "seconds": 1.0}
    assert watch.launch_line(begun).startswith("starting workers: 0 %")


@pytest.mark.parametrize(
    ("end", "line"),
    [
        (None, "no launch has been started"),
        (LaunchEnd("finished", 820.0), "the launch ended 3 min ago"),
        (LaunchEnd("failed", 997.0), "the launch ended 3 s ago: some trials did not finish"),
        (LaunchEnd("killed", 1001.0), "the launch ended 0 s ago: it was stopped"),
        (LaunchEnd("lost", 400.0),
         "the launch is gone without an end; its last sign of life was 10 min ago"),
    ],
)  # fmt: skip
def test_the_end_of_a_launch_is_said_as_it_was(end: LaunchEnd | None, line: str) -> None:
    assert watch.end_line(end, 1000.0) == line


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Launch]:
    """A sweep whose launch is this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    sweep = write_sweep(tmp_path)
    opened = Sweep.open(sweep)
    launch = Launch.start(
        opened.ledger.client, store.experiment(opened.ledger.client, "tiny"), {}, "test"
    )
    launch.client.set_tag(launch.run_id, NOW, json.dumps(NOW_TOLD))
    return sweep, launch


def watched(launched: tuple[Path, Launch], monkeypatch: pytest.MonkeyPatch, *more: str) -> str:
    """What the command prints where the launch ends between its second look and its third."""
    sweep, launch = launched
    looked: list[float] = []

    def sleep(seconds: float) -> None:
        looked.append(seconds)
        if len(looked) == 2:
            launch.end("FINISHED")

    monkeypatch.setattr(watch.time, "sleep", sleep)
    result = CliRunner().invoke(app, ["status", str(sweep), "--watch", *more])
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert len(looked) == 2
    return result.stdout


def test_it_looks_until_the_launch_has_ended(
    launched: tuple[Path, Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = watched(launched, monkeypatch)
    assert len(re.findall("25 %", said)) == 2 and "cohorts a were lost: x" in said
    assert re.fullmatch(r"the launch ended \d+ s ago", said.splitlines()[-1])


def test_a_script_gets_a_line_of_json_a_look(
    launched: tuple[Path, Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.loads(line) for line in watched(launched, monkeypatch, "--json").splitlines()]
    assert [line["now"] for line in lines] == [NOW_TOLD, NOW_TOLD, None]
    assert {line["missing"] for line in lines} == {6}
    assert [line["ended"] and line["ended"]["status"] for line in lines] == [None, None, "finished"]


def test_trials_of_a_launch_that_is_gone_do_not_run(launched: tuple[Path, Launch]) -> None:
    """Cluster 10: killed, it leaves open runs, which the next launch ends."""
    sweep, launch = launched
    opened = Sweep.open(sweep)
    ledger, trial = opened.ledger, opened.state().plan.missing[0]
    assert Writer(ledger.uri, ledger.experiment, launch.run_id, "c", {}).open(trial, {})

    def running() -> int:
        ledger.refresh()
        return status(opened.state()).running

    assert running() == 1
    launch.client.set_tag(launch.run_id, "raykd.ticks", "1")  # another process has its id now
    assert running() == 0
    launch.client.set_tag(launch.run_id, "raykd.host", "elsewhere")
    assert running() == 1  # as far as is known at once


def test_where_nothing_was_launched_it_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, ["status", str(write_sweep(tmp_path)), "--watch"])
    assert result.exit_code == 0 and "no launch has been started" in result.stdout
