"""One trial is one run for ever, and ends once: on an SQLite store and on an MLflow server."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import UserDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from requests.adapters import HTTPAdapter

from raykd.config.trial import Init, Shape, TrialSpec
from raykd.maps.layer_map import LayerMap
from raykd.tracking import ledger, store
from raykd.tracking.writer import Writer, trial_params, trial_tags
from raykd.training.recorder import Result

from ..support.specs import spec
from .conftest import Place, Server, place_in
from .helpers import RESULT, finish_one, record, records, senders, writer


def history(place: Place, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in place.client.get_metric_history(run_id, key)]


def artifact(place: Place, run_id: str, name: str, into: Path) -> Path:
    path = ledger.download(place.client, run_id, name, into)
    assert path is not None
    return path


def test_a_trial_is_one_run_under_its_launch(every_place: Place) -> None:
    trial = spec(strategy="custom", layer_map=LayerMap((4, None, 12), embedding=0), lr=3e-4)
    launch = every_place.client.create_run(every_place.experiment).info.run_id
    writing = writer(every_place, launch, {"raykd.sweep": "first"})
    assert writing.open(trial, {"precision": "bf16"})
    run = every_place.client.get_run(record(every_place, trial).run_id)
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "custom copied seed 0"
    stated = {
        "strategy": "custom", "map": "[4, null, 12] + embedding",
        "map_1": "4", "map_2": "null", "map_3": "12", "embedding": "0",
        "init_map": "[4, 8, 12]", "depth": "3", "seed": "0", "phase": "confirm",
        "lr": "0.0003", "loss_kl": "1.0", "hidden_loss": "normalized_mse", "metric": "accuracy",
    }  # fmt: skip
    assert stated.items() <= run.data.params.items()
    tags = {
        "mlflow.parentRunId": launch, "raykd.trial": trial.id, "raykd.family": trial.family,
        "raykd.cohort": "cohort-1", "raykd.sweep": "first", "raykd.precision": "bf16",
        "raykd.teacher_fingerprint": trial.teacher, "raykd.data": trial.data,
    }  # fmt: skip
    assert tags.items() <= run.data.tags.items()


def test_params_tell_any_two_trials_of_an_experiment_apart() -> None:
    """What decides the result can be grouped by: no change but of the data, the teacher or the
    task goes unseen."""
    changes: list[dict[str, Any]] = [
        {"metric": "f1"}, {"shape": Shape(3, width=64)}, {"shape": Shape(3, heads=2)},
        {"shape": Shape(3, intermediate=9)}, {"init": Init("random")},
        {"init": Init("copied", (1, 2, 3), head=True)}, {"init": Init("copied", (4, 8, 12))},
        {"phase": "explore"}, {"strategy": "reverse"}, {"layer_map": LayerMap((12, 8, 4))},
        {"layer_map": LayerMap((4, 8, 12), embedding=0)}, {"seed": 1},
        *({n: 0.5} for n in ("ce", "kl", "hidden", "temperature", "lr", "warmup", "clip")),
        {"kind": "cosine"}, {"steps": 7}, {"batch": 7}, {"weight_decay": 0.5}, {"evaluations": 7},
        {"precision": "bf16"}, {"diverged": 7.0},
    ]  # fmt: skip
    shown = [tuple(sorted(trial_params(spec(**c)).items())) for c in [{}, *changes]]
    assert len(set(shown)) == len(shown)


def test_a_student_of_very_many_blocks_fits(every_place: Place) -> None:
    trial = spec(shape=Shape(150), layer_map=LayerMap(tuple(range(1, 151))))
    assert writer(every_place).open(trial, {})
    run = every_place.client.get_run(record(every_place, trial).run_id)
    assert run.data.params["map_150"] == "150"


def test_what_was_logged_is_all_there_and_in_order_after_a_flush(every_place: Place) -> None:
    trials = [spec(seed=s) for s in range(3)]
    writing = writer(every_place)
    for trial in trials:
        writing.open(trial, {})
    for step in range(1, 21):
        for trial in trials:
            writing.log(trial, step, {"loss": step + trial.seed / 10, "hidden_1_4": -step})
    writing.flush()
    for trial in trials:
        run_id = record(every_place, trial).run_id
        told = [(s, s + trial.seed / 10) for s in range(1, 21)]
        assert history(every_place, run_id, "loss") == told
        assert history(every_place, run_id, "hidden_1_4") == [(s, -s) for s in range(1, 21)]
    assert "raykd-mlflow" not in {t.name for t in threading.enumerate()}


def test_training_never_waits_for_a_store_that_is_slow(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited for it here would wait for ever."""
    trial, threads = spec(), senders(monkeypatch)
    writing = writer(place)
    writing.open(trial, {})
    with closing(sqlite3.connect(place.uri.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        for step in range(1, 1001):
            writing.log(trial, step, {"loss": 1 / step})
        while not threads:  # it is tried meanwhile
            time.sleep(0.01)
        other.rollback()
    writing.flush()
    told = history(place, record(place, trial).run_id, "loss")
    assert told == [(s, 1 / s) for s in range(1, 1001)]
    assert threading.get_ident() not in threads


def test_what_is_logged_in_one_moment_is_sent_in_one_call(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [spec(seed=s) for s in range(2)]
    writing = writer(place)
    for trial in trials:
        writing.open(trial, {})
    sizes, send = [], MlflowClient.log_batch

    def log_batch(client: MlflowClient, run_id: str, **values: Any) -> None:
        sizes.append(len(values["metrics"]))
        send(client, run_id, **values)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    monkeypatch.setattr("raykd.tracking.outbox.SEND_SECONDS", 60.0)
    for step in range(1, 621):
        for trial in trials:
            writing.log(trial, step, {"loss": 1.0, "kl": 0.5})
    writing.flush()
    assert sizes == [1000, 240, 1000, 240]
    for trial in trials:
        assert len(history(place, record(place, trial).run_id, "kl")) == 620
    sizes.clear()
    writing.log(trials[0], 621, {"loss": 1.0})
    writing.finish(trials[0], RESULT)
    assert sizes == [1 + len(RESULT.metrics)]  # the last losses go with the results


def test_a_trial_asks_the_server_as_often_however_many_there_are(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, asked, counts, send = place_in(server.uri), list[str](), set[int](), HTTPAdapter.send

    def counted(adapter: HTTPAdapter, request: Any, *more: Any, **options: Any) -> Any:
        asked.append(request.path_url)
        return send(adapter, request, *more, **options)

    finish_one(place, spec(seed=8))  # the client's first words to a server are of another kind
    monkeypatch.setattr(HTTPAdapter, "send", counted)
    for seed in range(8):
        finish_one(place, spec(seed=seed))
        counts.add(len(asked))
        asked.clear()
    assert len(counts) == 1


def test_a_finished_trial_is_complete_and_is_not_opened_again(
    every_place: Place, tmp_path: Path
) -> None:
    trial = spec()
    student = tmp_path / "told" / "student"
    student.mkdir(parents=True)
    (student / "config.json").write_text("{}")
    writing = writer(every_place)
    writing.open(trial, {})
    writing.log(trial, 50, {"loss": 0.5})
    writing.finish(trial, Result(RESULT.metrics, RESULT.predictions, student))
    found = record(every_place, trial)
    assert found.status == "finished" and found.end is not None and found.end >= found.start
    assert found.metrics == {"loss": 0.5, **RESULT.metrics}
    assert history(every_place, found.run_id, "test_accuracy") == [(trial.training.steps, 81.25)]
    rows = pq.read_table(artifact(every_place, found.run_id, "predictions.parquet", tmp_path / "a"))
    assert rows.to_pydict() == RESULT.predictions
    stored = artifact(every_place, found.run_id, "trial.json", tmp_path / "a").read_text()
    assert TrialSpec.from_json(json.loads(stored)) == trial
    kept = artifact(every_place, found.run_id, "student", tmp_path / "a")
    assert (kept / "config.json").read_text() == "{}"
    assert ledger.download(every_place.client, found.run_id, "absent", tmp_path / "b") is None
    assert not writer(every_place).open(trial, {})
    assert records(every_place) == (found,)


def test_what_is_told_again_after_a_checkpoint_is_stored_once(every_place: Place) -> None:
    trial = spec()
    for start, stop in ((1, 32), (11, 52), (1, 52)):
        writing = writer(every_place)
        writing.open(trial, {})
        for step in range(start, stop, 10):
            writing.log(trial, step, {"loss": 1 / step})
            if step < 31 or stop > 32:  # the first was lost between the two
                writing.log(trial, step, {"select_accuracy": float(step)})
        writing.flush()
    run_id, steps = record(every_place, trial).run_id, [1, 11, 21, 31, 41, 51]
    assert history(every_place, run_id, "loss") == [(s, 1 / s) for s in steps]
    assert history(every_place, run_id, "select_accuracy") == [(s, s) for s in steps]


@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "KILLED"])
def test_a_trial_begun_before_goes_on_in_its_own_run(every_place: Place, status: str) -> None:
    trial = spec()
    before = writer(every_place, "1" * 32, {"raykd.version.torch": "1.0"})
    before.open(trial, {})
    before.log(trial, 25, {"loss": 0.9})
    before.flush()
    first = record(every_place, trial).run_id
    every_place.client.set_tag(first, "raykd.end", "interrupted")
    every_place.client.set_tag(first, "raykd.error", "lost")
    if status != "RUNNING":
        every_place.client.set_terminated(first, status)
    now = writer(every_place, "2" * 32, {"raykd.version.torch": "2.0"})
    assert now.open(trial, {})
    again = record(every_place, trial)
    tags = every_place.client.get_run(first).data.tags
    assert (again.run_id, again.status, again.error, again.end) == (first, "running", None, None)
    assert tags["mlflow.parentRunId"] == "2" * 32 and tags["raykd.version.torch"] == "2.0"
    assert "raykd.end" not in tags
    now.log(trial, 50, {"loss": 0.4})
    now.finish(trial, RESULT)
    assert history(every_place, first, "loss") == [(25, 0.9), (50, 0.4)]
    assert record(every_place, trial).status == "finished"


def test_a_failed_trial_says_why_and_its_neighbours_go_on(every_place: Place) -> None:
    bad, good = spec(seed=1), spec(seed=2)
    writing = writer(every_place)
    assert writing.open(bad, {}) and writing.open(good, {})
    writing.log(bad, 10, {"loss": float("nan")})
    writing.fail(bad, "diverged: training loss nan at step 10", "x" * 9000 + "the end")
    writing.log(good, 10, {"loss": 1.0})
    writing.finish(good, RESULT)
    found = record(every_place, bad)
    assert (found.status, found.error) == ("failed", "diverged: training loss nan at step 10")
    where = every_place.client.get_run(found.run_id).data.tags["raykd.traceback"]
    assert len(where) == 5000 and where.endswith("the end")
    assert (record(every_place, good).status, record(every_place, good).error) == ("finished", None)


def test_a_pruned_trial_is_over(place: Place) -> None:
    trial = spec(phase="explore")
    writing = writer(place)
    writing.open(trial, {})
    writing.prune(trial, 30, 71.5)
    found = record(place, trial)
    assert found.status == "pruned"
    assert (found.metrics["pruned_step"], found.metrics["pruned_score"]) == (30, 71.5)
    assert place.client.get_run(found.run_id).info.status == "KILLED"
    assert not writer(place).open(trial, {})


def test_a_run_cut_off_before_its_params_breaks_no_reading_and_is_completed(place: Place) -> None:
    trial = spec()
    tags = {**trial_tags(trial), "raykd.cohort": "c", "mlflow.parentRunId": "1" * 32}
    run_id = place.client.create_run(place.experiment, tags=tags).info.run_id
    assert records(place) == ()
    finish_one(place, trial)
    found = record(place, trial)
    assert (found.run_id, found.status) == (run_id, "finished")
    assert place.client.get_run(run_id).data.params == trial_params(trial)


def test_results_that_cannot_be_stored_leave_the_trial_unfinished(place: Place) -> None:
    trial = spec()
    writing = writer(place)
    writing.open(trial, {})
    with pytest.raises(ValueError, match="length"):
        writing.finish(trial, Result(RESULT.metrics, {"id": ["a", "b"], "label": [0]}))
    found = record(place, trial)
    assert found.status == "running" and found.metrics == {}


def test_a_writer_that_lost_its_trial_to_another_no_longer_ends_it(every_place: Place) -> None:
    """A worker that was taken for dead and lives on."""
    trial = spec()
    lost, owner = writer(every_place, "1" * 32), writer(every_place, "1" * 32)
    assert lost.open(trial, {}) and owner.open(trial, {})
    lost.finish(trial, RESULT)
    assert record(every_place, trial).status == "running"
    lost.fail(trial, "of no interest")
    assert record(every_place, trial).status == "running"
    owner.finish(trial, RESULT)
    found = record(every_place, trial)
    assert found.status == "finished"
    lost.finish(trial, Result({"test_accuracy": 0.0}, RESULT.predictions))
    lost.fail(trial, "of no interest")
    owner.fail(trial, "of no interest")
    assert record(every_place, trial) == found


def test_a_trial_taken_over_while_its_artifacts_are_written_is_not_ended(place: Place) -> None:
    trial = spec()
    slow, owner = writer(place, "1" * 32), writer(place, "2" * 32)

    class Slow(UserDict[str, Any]):
        def __iter__(self) -> Iterator[str]:
            assert owner.open(trial, {})
            return super().__iter__()

    slow.open(trial, {})
    slow.finish(trial, Result(RESULT.metrics, Slow(RESULT.predictions)))
    assert record(place, trial).status == "running"
    owner.finish(trial, RESULT)
    assert record(place, trial).status == "finished"


def test_a_twin_run_is_removed_when_it_would_end(place: Place) -> None:
    """Two processes that create a trial's run in one instant: the older run is the trial's."""
    trial = spec()
    younger = writer(place)
    younger.open(trial, {})
    twin = record(place, trial).run_id
    tags = {**trial_tags(trial), "raykd.cohort": "c"}
    older = place.client.create_run(place.experiment, start_time=1, tags=tags).info.run_id
    younger.finish(trial, RESULT)
    assert place.client.get_run(twin).info.lifecycle_stage == "deleted"
    finish_one(place, trial)
    assert record(place, trial).run_id == older


def test_a_fault_while_logging_is_raised_by_the_next_calls(place: Place) -> None:
    trial = spec()
    writing = writer(place)
    writing.open(trial, {})
    place.client.delete_run(record(place, trial).run_id)
    writing.log(trial, 1, {"loss": 1.0})
    with pytest.raises(MlflowException, match="active"):
        writing.flush()
    for call in (
        lambda: writing.log(trial, 2, {"loss": 1.0}),
        lambda: writing.finish(trial, RESULT),
        lambda: writing.fail(trial, "late"),
        writing.flush,
    ):
        with pytest.raises(MlflowException, match="active"):
            call()
    assert "raykd-mlflow" not in {t.name for t in threading.enumerate()}


def test_the_same_trial_in_two_sweeps_is_two_runs(place: Place, sqlite: str) -> None:
    other = Place(sqlite, place.client, store.experiment(place.client, "another sweep"))
    finish_one(place, spec())
    finish_one(other, spec())
    ends = [r.status for p in (place, other) for r in records(p)]
    assert ends == ["finished", "finished"]
    runs = place.client.search_runs(
        [place.experiment, other.experiment], "tags.`raykd.trial` != ''", ViewType.ALL
    )
    assert len(runs) == 2


def test_opening_again_by_the_same_writer_goes_on(place: Place) -> None:
    trial = spec()
    writing: Writer = writer(place)
    began = time.time()
    assert writing.open(trial, {}) and writing.open(trial, {})
    writing.finish(trial, RESULT)
    assert record(place, trial).status == "finished"
    assert began - 1 < record(place, trial).start < time.time() + 1


def test_writers_that_open_a_trial_in_one_instant_all_get_its_one_run(every_place: Place) -> None:
    trials = [spec(seed=s) for s in range(5)]
    writers, barrier = [writer(every_place) for _ in range(4)], threading.Barrier(4, timeout=120)
    with ThreadPoolExecutor(4) as pool:

        def open_all(writing: Writer) -> list[bool]:
            opened = []
            for trial in trials:
                barrier.wait()
                opened.append(writing.open(trial, {}))
            return opened

        assert list(pool.map(open_all, writers)) == [[True] * 5] * 4
    for trial in trials:
        for writing in writers:
            writing.finish(trial, RESULT)
    assert {r.trial: r.status for r in records(every_place)} == {t.id: "finished" for t in trials}
    assert len(records(every_place)) == len(trials)
