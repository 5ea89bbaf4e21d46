"""The summary that a launch leaves on MLflow's pages. A browser reads it in
tests/report/test_mlflow_ui.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException

from raykd.analysis.summary.headline import headline
from raykd.cluster.launch import summary
from raykd.sweep import verdict
from raykd.sweep.status import Status, status
from raykd.sweep.sweep import Sweep
from raykd.tracking.launch import NOTE, TAG, Launch, newest

from ..support.finished import finish, working_in
from ..support.world import write_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    with working_in(tmp_path_factory.mktemp("summary")) as folder:
        finished = finish(write_sweep(folder))
        finished.ledger.refresh()
        yield finished


@pytest.fixture
def launch(sweep: Sweep) -> Launch:
    run = newest(sweep.ledger.client, sweep.ledger.experiment)
    assert run is not None
    return Launch(sweep.ledger.client, run.info.run_id)


def no_line(line: str) -> None:
    raise AssertionError(line)


def test_experiment_and_launch_hold_headline_table_and_scores(sweep: Sweep, launch: Launch) -> None:
    state = sweep.state()
    summary.leave(state, launch, no_line)
    client, current = sweep.ledger.client, status(state)
    text = client.get_experiment(sweep.ledger.experiment).tags[NOTE]
    run = client.get_run(launch.run_id).data
    assert run.tags[NOTE] == text
    assert text.startswith(f"**{headline(verdict.of_sweep(state))}**")
    plain = text.replace(summary.SPACE, "")
    assert text.count(summary.SPACE) == 4 * (2 + len(current.rows))  # head, teacher, strategies
    for row in current.rows:
        assert f"| {row.strategy} | {row.mean:.2f} | {row.seeds} |" in plain
        assert run.metrics[f"mean_test_accuracy/{row.strategy}"] == pytest.approx(row.mean)
    assert current.teacher is not None
    assert f"| teacher | {current.teacher.test:.2f} |" in plain
    assert run.metrics["mean_test_accuracy/teacher"] == current.teacher.test
    assert run.metrics["trials/finished"] == current.finished == 6
    assert (run.metrics["trials/failed"], run.metrics["trials/missing"]) == (0, 0)
    assert launch.run_id in text and "raykd verdict" in text
    # The run is not a trial, whatever metrics it has.
    assert len(sweep.ledger.refresh()) == 6


def test_the_short_verdict_is_the_whole_ones(sweep: Sweep) -> None:
    short, whole = verdict.summary(sweep.state()), verdict.of_sweep(sweep.state())
    assert short.caveats == whole.caveats and headline(short) == headline(whole)
    assert [(h.id, h.status) for h in short.hypotheses] == [
        (h.id, h.status) for h in whole.hypotheses
    ]


def test_an_unfinished_sweep_says_what_is_missing(sweep: Sweep) -> None:
    current = replace(status(sweep.state()), missing=3, failed=1)
    assert summary.counts(current) == "6 trials finished, 1 failed, 3 still missing."


@pytest.fixture
def many(sweep: Sweep) -> Status:
    """A hundred strategies, two inits and two weights, with names that Markdown might misread."""
    current = status(sweep.state())
    row = next(r for r in current.rows if r.strategy == "forward")
    rows = [
        replace(row, strategy=f"own|{i}", init=init, weight=weight)
        for i in range(100) for init in ("copied [2, 4]", "random") for weight in ("1", "0.5")
    ]  # fmt: skip
    return replace(current, rows=tuple(rows))


def test_rows_that_do_not_fit_are_counted(many: Status) -> None:
    text = summary.note(["**Head**"], many, ["[runs](#/x)"], "my.yaml")
    assert len(text) <= TAG
    lines = text.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {8}  # as many cells in every row
    rows = len(table) - 3  # without head, rule and teacher
    assert 10 < rows < 400 and f"{400 - rows} more rows: `raykd status my.yaml`." in lines
    assert lines[0] == "**Head**" and "[runs](#/x)" in lines


def test_every_arm_is_a_metric_of_its_own(many: Status) -> None:
    names = summary.metrics(many)
    means = [name for name in names if name.startswith("mean_test_accuracy/")]
    assert len(means) == 401
    assert "mean_test_accuracy/own 0 copied 2 4 weight 0.5" in means


def test_a_store_that_refuses_ends_nothing(sweep: Sweep) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("no room\nmore")

    lines: list[str] = []
    broken = Launch(SimpleNamespace(log_batch=refuse), "0" * 32)
    summary.leave(sweep.state(), broken, lines.append)
    assert lines == ["MLflow's pages show no summary of this launch: no room"]
