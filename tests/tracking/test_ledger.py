"""What MLflow holds, read back: every trial once, whole, and nothing that is none."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from raykd.config.cohort import Cohort
from raykd.config.trial import Init, Shape, TrialSpec
from raykd.errors import UserError
from raykd.maps.layer_map import LayerMap
from raykd.tracking import bulk, ledger, store
from raykd.tracking.launch import Launch
from raykd.tracking.writer import Writer

from ..support.specs import spec
from .conftest import Place, Server, place_in
from .helpers import RESULT, finish_one, record, records, writer

TRIALS = [
    spec(),
    spec(strategy="reverse", layer_map=LayerMap((12, 8, 4)), seed=7),
    spec(strategy="none", layer_map=LayerMap((None,) * 3), init=Init("random")),
    spec(
        phase="explore",
        strategy="explored",
        shape=Shape(2, width=64),
        layer_map=LayerMap((1, None), embedding=0),
    ),
]


def teacher(place: Place, name: str = "t" * 12, **params: Any) -> str:
    return ledger.log_teacher(
        place.client,
        place.experiment,
        name,
        {"model": "minilm", "epochs": "2.0", **params},
        {"test_accuracy": 80.0, "majority": 51.0},
        {"raykd.data": "d" * 12},
    )


# Trials


@pytest.mark.parametrize("page", [1, 3, 1000])
def test_records_say_what_was_told_on_however_many_pages(
    place: Place, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PAGE", page)
    assert records(place) == ()
    launch = Launch.start(place.client, place.experiment, {}, "raykd sweep x.yaml")
    teacher(place)
    for trial in TRIALS:
        finish_one(place, trial, launch.run_id)
    found = records(place)
    assert [r.trial for r in found] == [
        t.id for t in sorted(TRIALS, key=lambda t: (record(place, t).start, t.id))
    ]
    for trial in TRIALS:
        told = record(place, trial)
        assert (told.phase, told.strategy, told.seed) == (trial.phase, trial.strategy, trial.seed)
        assert (told.family, told.cohort) == (trial.family, "cohort-1")
        assert LayerMap.parse(told.map) == trial.layer_map and told.init == str(trial.init)
        assert (told.status, told.error) == ("finished", None)
        assert told.metrics == RESULT.metrics
        assert told.end is not None and told.start <= told.end


def test_a_server_and_the_database_behind_it_tell_the_same(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one is read page by page, the other table by table."""
    monkeypatch.setattr(bulk, "PAGE", 3)
    asked = place_in(server.uri)
    client, experiment = asked.client, asked.experiment
    launch = Launch.start(client, experiment, {}, "raykd sweep x.yaml")
    teacher(asked)
    finish_one(place_in(server.uri), TRIALS[0])  # of another sweep
    for trial in TRIALS:
        finish_one(asked, trial, launch.run_id)
    others = [spec(seed=900 + i) for i in range(5)]
    writing = writer(asked)
    for trial in others:
        assert writing.open(trial, {})
        for step, loss in enumerate((2.5, 1e-320, float("inf"), float("nan")), 1):
            writing.log(trial, step, {"loss": loss, "ce": -loss, f"at_{step}": 1 / 3})
    writing.fail(others[0], "diverged: ∞\nat step 4")
    for trial, end in zip(others[1:], ("pruned", "interrupted", None), strict=False):
        run_id = record(asked, trial).run_id
        if end:
            client.set_tag(run_id, "raykd.end", end)
        client.set_terminated(run_id, "KILLED" if end else "FAILED")
    client.delete_run(record(asked, TRIALS[1]).run_id)
    client.create_run(experiment, tags={"raykd.trial": "f" * 12})  # cut off before its params
    client.create_run(experiment)

    database = store.connect(f"sqlite:///{server.folder / 'mlflow.db'}")
    told = ledger.read(client, experiment, home)
    assert len(told) == len(TRIALS) - 1 + len(others)
    assert {r.status for r in told} == {"finished", "failed", "pruned", "interrupted", "running"}
    # repr: no not-a-number equals another
    assert [{**vars(r), "metrics": repr(sorted(r.metrics.items()))} for r in told] == [
        {**vars(r), "metrics": repr(sorted(r.metrics.items()))}
        for r in ledger.read(database, experiment, home)
    ]


def test_a_few_trials_are_read_by_their_ids(place: Place) -> None:
    for trial in TRIALS[:3]:
        finish_one(place, trial)
    wanted = [TRIALS[2].id, TRIALS[0].id, TRIALS[3].id]
    found = ledger.read_trials(place.client, place.experiment, wanted)
    assert found == (record(place, TRIALS[2]), record(place, TRIALS[0]))


def test_a_cohort_is_read_with_what_others_trained_of_it_and_what_runs(place: Place) -> None:
    trials = [spec(strategy="forward", layer_map=LayerMap((4, 8, 12 - i))) for i in range(4)]
    cohort = Cohort(tuple(trials))
    of_it = Writer(place.uri, place.experiment, "0" * 32, cohort.id, {})
    for trial in trials[:2]:
        assert of_it.open(trial, {})
    of_it.finish(trials[0], RESULT)
    finish_one(place, trials[2])  # in another cohort
    place.client.create_run(  # a twin, whose creator has died
        place.experiment, tags={"raykd.trial": trials[2].id, "raykd.cohort": cohort.id}
    )
    found = {r.trial: r for r in ledger.read_cohort(place.client, place.experiment, cohort)}
    assert found == {t.id: record(place, t) for t in trials[:2]} | {
        trials[2].id: ledger.read_trials(place.client, place.experiment, [trials[2].id])[0]
    }
    assert {t: r.over for t, r in found.items()} == {
        trials[0].id: True, trials[1].id: False, trials[2].id: True,
    }  # fmt: skip


def test_a_deleted_trial_is_as_if_it_had_never_been(place: Place) -> None:
    finish_one(place, TRIALS[0])
    place.client.delete_run(record(place, TRIALS[0]).run_id)
    assert records(place) == ()
    assert ledger.read_trials(place.client, place.experiment, [TRIALS[0].id]) == ()
    finish_one(place, TRIALS[0])
    assert record(place, TRIALS[0]).status == "finished"


def test_reading_leaves_the_collector_as_it_was(place: Place) -> None:
    records(place)
    assert gc.isenabled()
    gc.disable()
    try:
        records(place)
        assert not gc.isenabled()
    finally:
        gc.enable()


# Teachers


def test_a_teacher_is_written_once_and_is_no_trial(place: Place) -> None:
    run_id = teacher(place)
    assert teacher(place) == run_id != teacher(place, "u" * 12)
    run = place.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"model": "minilm", "epochs": "2.0"}
    assert run.data.metrics == {"test_accuracy": 80.0, "majority": 51.0}
    assert run.data.tags["raykd.data"] == "d" * 12
    assert records(place) == ()


def test_a_teacher_cut_off_while_it_was_written_is_completed(place: Place) -> None:
    """Also where the file has changed since in what does not decide its fingerprint."""
    client = place.client
    cut = client.create_run(place.experiment, tags={"raykd.teacher": "t" * 12}).info.run_id
    client.log_param(cut, "allow_weak", "False")
    assert teacher(place, allow_weak="True") == cut == teacher(place, allow_weak="True")
    assert client.get_run(cut).info.status == "FINISHED"
    assert client.get_run(cut).data.metrics["majority"] == 51.0


# Runs by name


def named(place: Place, name: str) -> str:
    return str(ledger.open_run(place.client, name).info.run_id)


def test_a_run_is_found_by_its_trial_or_its_run_id_or_their_beginnings(every_place: Place) -> None:
    wanted, other = spec(seed=101), spec(seed=102)
    finish_one(every_place, wanted)
    finish_one(every_place, other)
    run_id = record(every_place, wanted).run_id
    for name in (wanted.id, wanted.id[:8], run_id, run_id[:12]):
        assert named(every_place, name) == run_id


def told(place: Place, name: str) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        ledger.open_run(place.client, name)
    return caught.value.lines


def test_a_name_that_is_no_run_is_told(place: Place) -> None:
    finish_one(place, TRIALS[0])
    run_id = teacher(place)
    for name in ("f" * 12, run_id, "0" * 32):
        assert "no trial" in told(place, name)[0]
    for name in ("forward", "", "abc", "%", "abcd' OR 'a", "A" * 12):
        assert "neither a run id nor a trial id" in told(place, name)[0]


def test_a_name_that_fits_several_runs_lists_them(place: Place) -> None:
    """The same trial in two sweeps of one store is two runs."""
    other = Place(place.uri, place.client, place.client.create_experiment("another sweep"))
    trial = TRIALS[0]
    for where in (place, other):
        finish_one(where, trial)
    lines = told(place, trial.id)
    runs = {record(where, trial).run_id for where in (place, other)}
    assert {line.split()[0] for line in lines[1:]} == runs
    assert any("another sweep" in line for line in lines)
    for run_id in runs:
        assert named(place, run_id) == run_id


def test_states_of_a_trial(place: Place) -> None:
    ends: dict[str, tuple[str, dict[str, str]]] = {
        "finished": ("FINISHED", {}),
        "failed": ("FAILED", {"raykd.error": "diverged"}),
        "pruned": ("KILLED", {"raykd.end": "pruned"}),
        "interrupted": ("KILLED", {"raykd.end": "interrupted"}),
    }
    trials: dict[str, TrialSpec] = {n: spec(seed=i) for i, n in enumerate([*ends, "running"])}
    for trial in trials.values():
        writer(place).open(trial, {})
    for name, (status, tags) in ends.items():
        run_id = record(place, trials[name]).run_id
        for tag, value in tags.items():
            place.client.set_tag(run_id, tag, value)
        place.client.set_terminated(run_id, status)
    assert {name: record(place, trial).status for name, trial in trials.items()} == {
        name: name for name in trials
    }
    assert record(place, trials["failed"]).error == "diverged"
