"""Cluster 4: what a person may delete in MLflow's UI, runs and tags, breaks no sweep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from raykd.config.cohort import Cohort
from raykd.tracking import ledger, locks, store
from raykd.tracking.export import export
from raykd.tracking.launch import Launch
from raykd.tracking.sweep_id import identity

from ..support.specs import spec
from .conftest import Place
from .helpers import RESULT, finish_one, record, records, writer


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "GRACE_SECONDS", 0.0)


def run_of(place: Place, seed: int = 0) -> str:
    return record(place, spec(seed=seed)).run_id


def test_a_trial_whose_run_is_deleted_while_it_trains_is_trained_again(every_place: Place) -> None:
    """The writer's error is the job's, which is tried once more."""
    writing = writer(every_place)
    assert writing.open(spec(), {})
    every_place.client.delete_run(run_of(every_place))
    with pytest.raises(MlflowException):
        for step in range(10**6):
            writing.log(spec(), step, {"loss": 1.0})
            writing.flush()
    finish_one(every_place, spec())
    (only,) = records(every_place)
    assert only.status == "finished" and only.metrics["test_accuracy"] == 81.25


def test_a_finished_trial_whose_run_is_deleted_is_trained_again(place: Place) -> None:
    finish_one(place, spec())
    place.client.delete_run(run_of(place))
    assert records(place) == ()
    finish_one(place, spec())
    assert record(place, spec()).status == "finished"


def test_a_trial_that_lost_any_tag_is_read_or_trained_again(place: Place) -> None:
    finish_one(place, spec())
    tags = set(place.client.get_run(run_of(place)).data.tags)
    for number, tag in enumerate(sorted(tags), start=1):
        finish_one(place, spec(seed=number))
        place.client.delete_tag(run_of(place, number), tag)
        assert all(r.status == "finished" for r in records(place))
        assert (
            ledger.read_cohort(place.client, place.experiment, Cohort((spec(seed=number),)))
            is not None
        )
    known = {r.trial for r in records(place)}
    assert known == {spec(seed=n).id for n, tag in enumerate(["", *sorted(tags)])
                     if tag != "raykd.trial"}  # fmt: skip


def test_an_experiment_that_lost_any_tag_goes_on(place: Place) -> None:
    name = place.client.get_experiment(place.experiment).name
    finish_one(place, spec())
    tags = sorted(place.client.get_experiment(place.experiment).tags)
    for number, tag in enumerate(tags, start=1):
        place.client.delete_experiment_tag(place.experiment, tag)
        assert store.experiment(place.client, name) == place.experiment
        assert identity(place.client, place.experiment)
        finish_one(place, spec(seed=number))
    assert len(records(place)) == 1 + len(tags)


def test_a_teacher_whose_run_is_deleted_is_logged_again(every_place: Place) -> None:
    def log() -> str:
        return ledger.log_teacher(
            every_place.client, every_place.experiment, "f" * 12, {"model": "m"},
            {"test_accuracy": 90.0}, {},
        )  # fmt: skip

    first = log()
    assert log() == first
    every_place.client.delete_run(first)
    assert log() != first


def test_what_is_deleted_before_it_is_sent_is_no_error_of_the_sender(place: Place) -> None:
    """The end of a trial whose run is gone counts for nothing, and the trial stays missing."""
    writing = writer(place)
    assert writing.open(spec(), {})
    place.client.delete_run(run_of(place))
    writing.finish(spec(), RESULT)
    assert records(place) == ()


@pytest.mark.parametrize("for_good", [False, True], ids=["deleted", "removed by mlflow gc"])
def test_a_student_is_exported_whose_launch_is_deleted(
    place: Place, tmp_path: Path, for_good: bool
) -> None:
    launch = Launch.start(place.client, place.experiment, {}, "test")
    student = tmp_path / "kept"
    student.mkdir()
    (student / "config.json").write_text("{}")
    writing = writer(place, launch.run_id)
    assert writing.open(spec(), {})
    writing.finish(spec(), replace(RESULT, student=student))
    place.client.delete_run(launch.run_id)
    if for_good:
        SqlAlchemyStore(place.uri, str(tmp_path / "a"))._hard_delete_run(launch.run_id)
    for tag in ("raykd.teacher_fingerprint", "raykd.data", "mlflow.parentRunId"):
        export(spec().id, tmp_path / f"out {tag}", place.uri)
        place.client.delete_tag(run_of(place), tag)
    export(spec().id, tmp_path / "out", place.uri)
    assert (tmp_path / "out" / "README.md").exists()
