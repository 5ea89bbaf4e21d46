"""A trial is trained by one launch at a time, whoever else runs the same sweep into the store."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from raykd.runtime import heartbeat, process_id
from raykd.tracking import launch as launches
from raykd.tracking import locks, store

from ..support.specs import spec
from .conftest import Place, place_in
from .helpers import finish_one, line, program, records, writer

NOBODY = "0" * 32


def launch(place: Place, **tags: str) -> str:
    """The run of a launch: of this very process, which lives, if no tags say otherwise."""
    own = {f"raykd.{key}": value for key, value in process_id.own().items()}
    life = {"raykd.launch": "true", "raykd.heartbeat": str(time.time()), **own, **tags}
    return str(place.client.create_run(place.experiment, tags=life).info.run_id)


def test_of_many_that_claim_at_once_one_succeeds(every_place: Place) -> None:
    board = locks.board(
        every_place.client, every_place.client.get_experiment(every_place.experiment)
    )
    owners = [f"{i:032x}" for i in range(8)]
    for trial in ("a" * 12, "b" * 12, "c" * 12):
        with ThreadPoolExecutor(8) as pool:

            def take(owner: str, trial: str = trial) -> bool:
                return store.patiently(
                    lambda: locks.take(every_place.client, board, trial, owner, lambda _: True)
                )

            assert Counter(pool.map(take, owners)) == {True: 1, False: 7}


def test_a_claim_is_its_owners_until_the_owner_is_dead(place: Place) -> None:
    board = locks.board(place.client, place.client.get_experiment(place.experiment))
    living = {"1" * 32, "2" * 32, "3" * 32}

    def take(owner: str) -> bool:
        return locks.take(place.client, board, "t" * 12, owner, living.__contains__)

    assert take("1" * 32) and take("1" * 32)
    assert not take("2" * 32)
    living.remove("1" * 32)
    assert take("2" * 32) and not take("3" * 32)
    living.add("1" * 32)  # it was only cut off, and comes back
    assert not take("1" * 32)


def test_an_experiment_made_elsewhere_gets_one_board(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that both found none, the one that was slower to write is followed by both."""
    foreign = place.client.create_experiment("made in MLflow's UI")
    empty = place.client.get_experiment(foreign)
    waits = list[float]()

    def another_writes(seconds: float) -> None:
        waits.append(seconds)
        locks.give_board(place.client, foreign)

    monkeypatch.setattr(locks, "time", SimpleNamespace(sleep=another_writes))
    board = locks.board(place.client, empty)
    assert place.client.get_experiment(foreign).tags[locks.BOARD] == board
    assert locks.board(place.client, place.client.get_experiment(foreign)) == board
    assert waits == [locks.GRACE_SECONDS]


def test_the_experiment_has_its_board_from_its_first_moment(place: Place) -> None:
    assert locks.BOARD in place.client.get_experiment(place.experiment).tags


def test_a_board_that_is_deleted_is_restored_with_its_claims(every_place: Place) -> None:
    """Cluster 4: in MLflow's UI, between two claims and before one of a new trial."""
    client = every_place.client
    held = locks.board(client, client.get_experiment(every_place.experiment))

    for trial, owner in (("a", "1"), ("b", "2")):
        assert locks.take(client, held, trial * 12, owner * 32, lambda _: False)
    for trial, owner, taken in (("a", "3", False), ("a", "1", True), ("c", "1", True)):
        client.delete_run(held)
        assert locks.take(client, held, trial * 12, owner * 32, ("1" * 32).__eq__) is taken
        assert client.get_run(held).info.lifecycle_stage == "active"
    client.delete_run(held)
    assert locks.take(client, held, "b" * 12, "1" * 32, lambda _: False)  # of one that is dead


def test_a_board_that_is_gone_for_good_is_made_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cluster 4: deleted, and removed by `mlflow gc`, while a writer knows it."""
    monkeypatch.setattr(locks, "GRACE_SECONDS", 0.0)
    experiment, owner = place.experiment, launch(place)
    gone = locks.board(place.client, place.client.get_experiment(experiment))
    writing = writer(place, owner)
    assert writing.open(spec(), {})
    place.client.delete_run(gone)
    SqlAlchemyStore(
        place.uri, place.uri.removeprefix("sqlite:///") + "-artifacts"
    )._hard_delete_run(gone)
    assert writing.open(spec(seed=1), {}) and writer(place, owner).open(spec(seed=2), {})
    held = locks.board(place.client, place.client.get_experiment(experiment))
    assert held != gone
    assert set(place.client.get_run(held).data.params) == {
        f"{spec(seed=seed).id}.1" for seed in (1, 2)
    }


def test_the_board_is_the_last_in_mlflows_list_of_runs(every_place: Place) -> None:
    """Cluster 4: as hidden as MLflow can; its list shows the newest runs first."""
    launch(every_place)
    runs = every_place.client.search_runs([every_place.experiment])
    assert runs[-1].info.run_name == "claims (internal)" and len(runs) == 2


def test_a_refusal_of_another_cause_is_raised(place: Place) -> None:
    held = locks.board(place.client, place.client.get_experiment(place.experiment))
    with pytest.raises(MlflowException):
        locks.take(place.client, held, "?" * 12, "1" * 32, lambda _: False)


def test_a_trial_of_another_living_launch_is_left_to_it(every_place: Place) -> None:
    mine, other = launch(every_place), launch(every_place)
    trial = spec()
    assert writer(every_place, other).open(trial, {})
    assert not writer(every_place, mine).open(trial, {})
    assert writer(every_place, other).open(trial, {})  # a worker of its own that was started again
    every_place.client.set_terminated(other, "KILLED")
    assert writer(every_place, mine).open(trial, {})


def test_a_launch_whose_heart_stands_still_loses_its_trials(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launches, "LAPSE_SECONDS", 0.2)
    monkeypatch.setattr(heartbeat, "LOOK_SECONDS", 0.1)
    silent = launch(place, **{"raykd.host": "elsewhere"})
    assert writer(place, silent).open(spec(), {})
    assert writer(place, launch(place)).open(spec(), {})


def test_what_the_owner_finished_before_it_died_is_not_trained_again(place: Place) -> None:
    owner = launch(place)
    finish_one(place, spec(), owner)
    place.client.set_terminated(owner, "KILLED")
    assert not writer(place, launch(place)).open(spec(), {})


# Two machines, as two processes whose hosts have different names

SWEEP = """if True:
    import socket, sys, time
    uri, experiment, host, lapse = sys.argv[1:]
    socket.gethostname = lambda: host
    from mlflow import MlflowClient
    from raykd.runtime import heartbeat
    from raykd.tracking import launch, writer
    from tests.support.specs import spec
    from tests.tracking.helpers import RESULT
    launch.other_live_launch = lambda *args, **more: None    # the mistake that claims are for
    launch.LAPSE_SECONDS, launch.BEAT_SECONDS, heartbeat.LOOK_SECONDS = float(lapse), 0.2, 0.1
    mine = launch.Launch.start(MlflowClient(uri), experiment, {}, "test")
    print("ready"); sys.stdin.readline()
    with launch.beating(mine):
        for seed in range(8):
            writing = writer.Writer(uri, experiment, mine.run_id, "c", {})
            if writing.open(spec(seed=seed), {}):
                print("trains", seed)
                sys.stdin.readline()
                writing.finish(spec(seed=seed), RESULT)
                print("finished", seed)
    mine.end("FINISHED")
"""


@pytest.fixture(params=["sqlite", "server", "postgres"])
def shared_place(request: pytest.FixtureRequest) -> Place:
    found = request.getfixturevalue(request.param)
    return place_in(found if isinstance(found, str) else found.uri)


def go(process: subprocess.Popen[str], times: int = 1) -> None:
    """A line for the beginning, and one for each trial that it is to finish."""
    assert process.stdin is not None
    process.stdin.write("go\n" * times)
    process.stdin.flush()


def test_two_machines_that_run_one_sweep_train_each_trial_once(shared_place: Place) -> None:
    place = shared_place
    machines = [
        program(SWEEP, place.uri, place.experiment, host, 3600) for host in ("one", "another")
    ]
    assert [line(p) for p in machines] == ["ready"] * 2
    for process in machines:
        go(process)
    first = [line(p) for p in machines]
    assert all(told.startswith("trains") for told in first)
    for process in machines:
        go(process, 8)
    rest = [told for p in machines for told in p.communicate()[0].split("\n")]
    assert [p.returncode for p in machines] == [0, 0]
    assert Counter(x for x in [*first, *rest] if "trains" in x) == {
        f"trains {seed}": 1 for seed in range(8)
    }
    found = records(place)
    assert {r.trial: r.status for r in found} == {spec(seed=s).id: "finished" for s in range(8)}
    assert len(found) == 8


def test_what_a_dead_machine_had_claimed_is_trained_by_the_other(place: Place) -> None:
    dying = program(SWEEP, place.uri, place.experiment, "one", 3600)
    assert line(dying) == "ready"
    go(dying)
    assert line(dying) == "trains 0"
    early = program(SWEEP, place.uri, place.experiment, "another", 3600)
    assert early.communicate("go\n" * 8)[0].count("trains") == 7
    dying.kill()
    dying.communicate()
    # Its heart beats no more, which is known at once to who gives it no time.
    late = program(SWEEP, place.uri, place.experiment, "another", 0)
    assert "trains 0\nfinished 0" in late.communicate("go\n" * 2)[0]
    assert {r.status for r in records(place)} == {"finished"} and len(records(place)) == 8
