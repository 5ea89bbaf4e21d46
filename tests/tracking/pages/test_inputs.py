"""Data sets and kept students on MLflow's pages: by reference, once, and never in a sweep's way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import get_dataset_source_from_json
from mlflow.entities import LoggedModelStatus, Run
from mlflow.exceptions import MlflowException, RestException

from raykd.config.trial import TrialSpec
from raykd.tracking.pages.inputs import MODEL_TYPE, DataUsed, show_student
from raykd.tracking.writer import Writer
from raykd.training.recorder import Result

from ...support.specs import spec
from ..conftest import Place
from ..helpers import RESULT, record

ROWS = {"train": 160, "select": 40, "test": 40}
DATA = DataUsed.of("movie-reviews", "d" * 12, ROWS)


def writer(place: Place, data: DataUsed | None = DATA) -> Writer:
    return Writer(place.uri, place.experiment, "0" * 32, "cohort-1", {}, data=data)


@pytest.fixture
def student(tmp_path: Path) -> Path:
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def run_of(place: Place, trial: TrialSpec) -> Run:
    return place.client.get_run(record(place, trial).run_id)


def models(place: Place) -> list[Any]:
    return list(place.client.search_logged_models([place.experiment]))


def test_a_run_names_its_data_once(every_place: Place) -> None:
    trial = spec()
    assert writer(every_place).open(trial, {})
    writing = writer(every_place)
    assert writing.open(trial, {})  # resumed
    writing.finish(trial, RESULT)
    (used,) = run_of(every_place, trial).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("movie-reviews", trial.data)
    assert used.dataset.profile == '{"train_rows": 160, "select_rows": 40, "test_rows": 40}'
    assert [(t.key, t.value) for t in used.tags] == [("mlflow.data.context", "training")]


def test_mlflow_reads_every_source(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.touch()
    test.touch()
    for named, kind, name in (
        ("movie-reviews", "code", "movie-reviews"),
        ("stanfordnlp/sst2", "hugging_face", "stanfordnlp/sst2"),
        (str(train), "local", "train.csv"),
        (f"{train}, {test}", "local", "train.csv, test.csv"),
    ):
        used = DataUsed.of(named, "d" * 12, ROWS, "main").as_input().dataset
        assert (used.source_type, used.name) == (kind, name)
        source = get_dataset_source_from_json(used.source, kind)
        assert source._get_source_type() == kind


def calls(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> Counter[str]:
    """How often the action calls each method of MLflow's client."""
    counted = Counter[str]()
    with monkeypatch.context() as patch:
        for name in [n for n in dir(MlflowClient) if not n.startswith("_")]:
            method = getattr(MlflowClient, name)
            if not callable(method):
                continue

            def call(self: Any, *a: Any, name: str = name, method: Any = method, **k: Any) -> Any:
                counted[name] += 1
                return method(self, *a, **k)

            patch.setattr(MlflowClient, name, call)
        action()
    return counted


def test_it_costs_one_request_a_trial_and_five_a_student(
    place: Place, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(seed: int, data: DataUsed | None, kept: Path | None = None) -> None:
        trial, writing = spec(seed=seed), writer(place, data)
        assert writing.open(trial, {})
        writing.finish(trial, Result(RESULT.metrics, RESULT.predictions, kept))

    train(0, None)  # reads the board
    plain = calls(monkeypatch, lambda: train(1, None))
    assert calls(monkeypatch, lambda: train(2, DATA)) - plain == {"log_inputs": 1}
    assert calls(monkeypatch, lambda: train(3, None, student)) - plain == {
        "search_logged_models": 1, "create_logged_model": 1, "log_outputs": 1, "log_batch": 1,
        "finalize_logged_model": 1,
    }  # fmt: skip


def test_a_kept_student_is_a_model_by_reference(every_place: Place, student: Path) -> None:
    kept, other = spec(strategy="own/method: 1.0"), spec(seed=1)
    writing = writer(every_place)
    for trial, folder in ((kept, student), (other, None)):
        assert writing.open(trial, {})
        writing.log(trial, 50, {"select_accuracy": 70.0, "loss": 1.0})
        writing.finish(trial, Result(RESULT.metrics, RESULT.predictions, folder))
    (model,) = models(every_place)
    run = run_of(every_place, kept)
    assert run.info.status == "FINISHED" and run.data.metrics["loss"] == 1.0
    assert (model.source_run_id, model.status) == (run.info.run_id, LoggedModelStatus.READY)
    assert [o.model_id for o in run.outputs.model_outputs] == [model.model_id]
    assert model.model_type == MODEL_TYPE and model.params["map"] == str(kept.layer_map)
    assert {m.key: m.value for m in model.metrics} == RESULT.metrics
    assert model.tags["raykd.student"] == f"runs:/{run.info.run_id}/student"
    stored = [a.path for a in every_place.client.list_artifacts(run.info.run_id, "student")]
    assert stored == ["student/config.json"]
    assert not every_place.client.list_logged_model_artifacts(model.model_id)


def test_a_second_time_changes_nothing(every_place: Place, student: Path) -> None:
    trial, writing = spec(), writer(every_place)
    assert writing.open(trial, {})
    writing.finish(trial, Result(RESULT.metrics, RESULT.predictions, student))
    run, before = run_of(every_place, trial), models(every_place)
    show_student(every_place.client, run, ())
    assert [m.model_id for m in models(every_place)] == [m.model_id for m in before]
    assert len(run_of(every_place, trial).outputs.model_outputs) == 1


@pytest.mark.parametrize("method", ["log_inputs", "search_logged_models", "log_outputs"])
def test_a_server_that_does_not_know_them_ends_nothing(
    place: Place, student: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise RestException({"error_code": "ENDPOINT_NOT_FOUND", "message": "no such path"})

    monkeypatch.setattr(MlflowClient, method, unknown)
    trial, writing = spec(), writer(place)
    assert writing.open(trial, {})
    writing.finish(trial, Result(RESULT.metrics, RESULT.predictions, student))
    found = record(place, trial)
    assert found.status == "finished" and found.metrics["test_accuracy"] == 81.25


def test_a_passing_fault_is_waited_for(
    place: Place, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finalize, faults = MlflowClient.finalize_logged_model, [1, 2]

    def busy(*arguments: Any) -> Any:
        if faults:
            faults.pop()
            raise MlflowException("try again", error_code=1)  # INTERNAL_ERROR
        return finalize(*arguments)

    monkeypatch.setattr(MlflowClient, "finalize_logged_model", busy)
    trial, writing = spec(), writer(place)
    assert writing.open(trial, {})
    writing.finish(trial, Result(RESULT.metrics, RESULT.predictions, student))
    (model,) = models(place)
    assert not faults and model.status == LoggedModelStatus.READY
    assert record(place, trial).status == "finished"
    assert len(run_of(place, trial).outputs.model_outputs) == 1
