"""What is tried after a failure: always bounded, and no neighbour is lost to one bad trial."""

from __future__ import annotations

import errno
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import ray
import requests
from hypothesis import given
from hypothesis import strategies as st
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, PreemptionError, WorkerGroupError
from ray.train.v2.api.preemption import PreemptionInfo
from torch import OutOfMemoryError

from raykd.cluster.launch import worker
from raykd.cluster.launch.driver import _give_up, explain, tags
from raykd.cluster.launch.retry import Failure, Part, after, counted, without
from raykd.cluster.launch.settings import LaunchSettings
from raykd.config.cohort import Cohort, Job, packed, unpacked
from raykd.config.trial import TrialSpec
from raykd.maps.layer_map import LayerMap
from raykd.planning.estimate.checkpoint_spacing import Spacing
from raykd.runtime.execution_settings import ExecutionSettings
from raykd.sweep.resources import Share
from raykd.tracking import logs
from raykd.tracking.pages.inputs import DataUsed

from ...support.specs import spec
from ...tracking.conftest import Place
from ...tracking.helpers import records

RETRIES, SHARE = 2, 32
OWN, LOST, MEMORY = (Failure(k, "why") for k in ("own", "lost", "memory"))  # type: ignore[arg-type]
PREEMPTED = Failure("preempted", "why")


def launch_settings(**stated: Any) -> LaunchSettings:
    """Settings of a launch that trains nothing."""
    settings = LaunchSettings(
        Share(1, 1, 0, 1), "", (), 0, 32, cast("Any", None), ExecutionSettings(), "", "",
        "0" * 32, Path(), Path(), None, Spacing(0.0), 0, {},
        DataUsed("d", "1", "code", {}, {}), "none", None,
    )  # fmt: skip
    return replace(settings, **stated)


def trials(count: int, seed: int = 0) -> tuple[TrialSpec, ...]:
    return tuple(spec(seed=seed, layer_map=LayerMap((1, 2, i + 1))) for i in range(count))


def play(part: Part, outcome: Callable[[Part], Failure | None]) -> tuple[list[Part], list[Part]]:
    """Run parts as the driver does: (every attempt, what was given up)."""
    waiting, attempts, given_up = [part], list[Part](), list[Part]()
    while waiting:
        part = waiting.pop(0)
        attempts.append(part)
        failure = outcome(part)
        if failure is not None:
            again = after(part, failure, RETRIES, SHARE)
            given_up += [] if again else [part]
            waiting = again + waiting
    return attempts, given_up


def test_one_bad_student_does_not_sink_its_neighbours() -> None:
    for bad in range(5):
        cohort = Cohort(trials(5))
        sick = cohort.trials[bad].id
        attempts, given_up = play(
            Part((cohort,)), lambda p, sick=sick: OWN if sick in {t.id for t in p.trials} else None
        )
        assert [t.id for p in given_up for t in p.trials] == [sick]
        well = {t.id for p in attempts for t in p.trials} - {sick}
        assert well == {t.id for t in cohort.trials} - {sick}
        assert Counter(sick in {t.id for t in p.trials} for p in attempts)[True] <= 5


def test_losses_count_against_the_cohort_that_is_struck() -> None:
    job = tuple(Cohort(trials(2, seed)) for seed in range(3))
    part, over = Part(job), set[str]()
    for cohort in job:
        for losses in range(1, RETRIES + 1):
            (part,) = after(counted(part, over), LOST, RETRIES, SHARE)
            assert part.losses == losses
        assert not after(counted(part, over), LOST, RETRIES, SHARE)
        over |= {t.id for t in cohort.trials}
    assert counted(part, over).losses == 0 and counted(part, over).id == part.id


def test_a_job_of_many_cohorts_is_taken_apart_after_it_failed_twice() -> None:
    job = tuple(Cohort(trials(2, seed)) for seed in range(3))
    part = Part(job)
    (again,) = after(part, OWN, RETRIES, SHARE)
    assert again.job == job and again.id == part.id
    assert [p.job for p in after(again, OWN, RETRIES, SHARE)] == [(c,) for c in job]


def test_a_fault_that_passes_takes_nothing_apart() -> None:
    seen: list[Part] = []
    attempts, given_up = play(
        Part((Cohort(trials(4)),)), lambda p: OWN if not seen and not seen.append(p) else None
    )
    assert len(attempts) == 2 and not given_up and len({p.id for p in attempts}) == 1


def test_lost_workers_are_started_again_so_often_and_no_oftener() -> None:
    attempts, given_up = play(Part((Cohort(trials(3)),)), lambda _: LOST)
    assert len(attempts) == 1 + RETRIES and len(given_up) == 1
    assert len({p.id for p in attempts}) == 1  # by which its checkpoints are found


def test_preemptions_do_not_count_while_the_training_gets_on() -> None:
    """And those between which it does not are losses."""
    part = Part((Cohort(trials(3)),))
    for step in range(20):
        (part,) = after(part, PREEMPTED, RETRIES, SHARE, f"c {step}")
        assert part.losses == 0
    for losses in range(1, RETRIES + 1):
        (part,) = after(part, PREEMPTED, RETRIES, SHARE, "c 19")
        assert part.losses == losses
    assert not after(part, PREEMPTED, RETRIES, SHARE, "c 19")
    (again,) = after(part, PREEMPTED, RETRIES, SHARE, "c 20")
    assert again.id == part.id
    ended = counted(part, {part.trials[0].id})
    assert after(ended, PREEMPTED, RETRIES, SHARE, "c 19")[0].losses == 0
    # Without any checkpoint the first one is free, and then they count.
    attempts, given_up = play(Part((Cohort(trials(3)),)), lambda _: PREEMPTED)
    assert len(attempts) == 2 + RETRIES and len(given_up) == 1


def test_a_preemption_leaves_the_budget_of_losses_alone() -> None:
    part = Part((Cohort(trials(3)),))
    for step in range(RETRIES):
        (part,) = after(part, LOST, RETRIES, SHARE, f"c {step}")
        (part,) = after(part, PREEMPTED, RETRIES, SHARE, f"c {step}")
    assert part.losses == RETRIES and not after(part, LOST, RETRIES, SHARE, "c 9")


def test_short_memory_halves_the_rows_before_it_takes_a_cohort_apart() -> None:
    fits = 5
    attempts, given_up = play(
        Part((Cohort(trials(2)),)),
        lambda p: MEMORY if (p.micro_batch or SHARE) > fits else None,
    )
    assert [p.micro_batch for p in attempts] == [None, 16, 8, 4] and not given_up
    attempts, given_up = play(
        Part((Cohort(trials(2)),)), lambda p: MEMORY if len(p.trials) > 1 else None
    )
    assert [len(p.trials) for p in attempts] == [2, 2, 2, 2, 2, 2, 1, 1] and not given_up
    assert {p.micro_batch for p in attempts if len(p.trials) == 1} == {1}


def test_rows_stay_halved_where_a_bad_student_is_then_singled_out() -> None:
    cohort = Cohort(trials(4))
    sick = cohort.trials[2].id

    def outcome(part: Part) -> Failure | None:
        if (part.micro_batch or SHARE) > 8:
            return MEMORY
        return OWN if sick in {t.id for t in part.trials} else None

    attempts, given_up = play(Part((cohort,)), outcome)
    assert [t.id for p in given_up for t in p.trials] == [sick]
    assert [p.micro_batch for p in attempts[:3]] == [None, 16, 8]
    assert {p.micro_batch for p in attempts[3:]} == {8}
    settings = launch_settings(tags={"raykd.commit": "abc"})
    assert tags(settings, attempts[0]) == settings.tags
    assert tags(settings, given_up[0]) == {"raykd.commit": "abc", "raykd.micro_batch": "8"}


def test_short_memory_leaves_a_loss_of_the_whole_batch_whole() -> None:
    own = tuple(spec(kind="paper_t5", layer_map=LayerMap((1, 2, i + 1))) for i in range(2))
    attempts, given_up = play(Part((Cohort(own),)), lambda p: MEMORY if len(p.trials) > 1 else None)
    assert [len(p.trials) for p in attempts] == [2, 1, 1] and not given_up
    assert {p.micro_batch for p in attempts} == {None}


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.lists(st.sampled_from([OWN, LOST, PREEMPTED, MEMORY, None]), max_size=200),
    st.sampled_from([OWN, LOST, PREEMPTED, MEMORY]),
)
def test_whatever_happens_it_ends_and_every_trial_is_run_or_given_up(
    sizes: list[int], told: list[Failure | None], then: Failure
) -> None:
    job = tuple(Cohort(trials(size, seed)) for seed, size in enumerate(sizes))
    script = iter(told)
    done: list[Part] = []

    def outcome(part: Part) -> Failure | None:
        failure = next(script, then)
        if failure is None:
            done.append(part)
        return failure

    attempts, given_up = play(Part(job), outcome)
    assert len(attempts) <= 200 + 30 * sum(sizes)
    ended = Counter(t.id for p in done + given_up for t in p.trials)
    assert ended == Counter(t.id for c in job for t in c.trials)


def test_what_is_over_is_not_begun_again() -> None:
    job = tuple(Cohort(trials(2, seed)) for seed in range(2))
    over = {t.id for t in job[0].trials} | {job[1].trials[0].id}
    assert without(Part(job), over).job == (job[1],)
    assert unpacked(packed(job)) == job


# What Ray says, and what it means


NCCL = (
    "NCCL error in: ProcessGroupNCCL.cpp:77, unhandled {}, NCCL version 2.27.3\n{}\nLast error:\n{}"
)
NCCL_MEMORY = NCCL.format(
    "cuda error", "ncclUnhandledCudaError: Call to CUDA function failed.",
    "Cuda failure 2 'out of memory'",
)  # fmt: skip
NCCL_TWICE = NCCL.format(
    "invalid usage", "ncclInvalidUsage: This usually reflects invalid usage of NCCL library.",
    "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 1b0",
)  # fmt: skip
NCCL_REMOTE = NCCL.format(
    "system error", "ncclRemoteError: A call failed possibly due to a network error",
    "socketProgress: Connection closed by remote peer",
)  # fmt: skip
CUBLAS_MEMORY = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
CPU_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 400000000 bytes. Error code 12 (Cannot allocate memory)"
)
DEAD = WorkerHealthCheckFailedError("no answer", RuntimeError("the actor died"))


@pytest.mark.parametrize(
    ("failures", "kind", "reason"),
    [
        ({0: ValueError("width 7\nand more")}, "own", "ValueError: width 7"),
        ({0: OutOfMemoryError("CUDA out of memory")}, "memory", "out of memory: CUDA"),
        ({0: DEAD}, "lost", "the actor died"),
        ({0: RuntimeError("[gloo] Connection closed by peer")}, "lost", "RuntimeError: [gloo]"),
        ({0: RuntimeError("broken pipe"), 1: DEAD}, "lost", "RuntimeError: broken pipe"),
        ({0: RuntimeError("of its own"), 1: DEAD}, "lost", "the actor died"),
        ({0: DEAD, 1: OutOfMemoryError("CUDA")}, "memory", "out of memory: CUDA"),
        ({0: ConnectionError("no store")}, "lost", "ConnectionError: no store"),
        ({0: requests.ConnectionError("no hub")}, "lost", "ConnectionError: no hub"),
        ({0: TimeoutError("no answer")}, "lost", "TimeoutError: no answer"),
        ({0: OSError(errno.ESTALE, "Stale file handle")}, "lost", "OSError: [Errno"),
        ({0: OSError(errno.ENOSPC, "No space left")}, "lost", "OSError: [Errno"),
        ({0: OSError("AWS Error NETWORK_CONNECTION: curlCode: 28")}, "lost", "OSError: AWS"),
        # Cluster 7
        ({0: FileNotFoundError(errno.ENOENT, "gone", "a.csv")}, "own", "FileNotFoundError"),
        ({0: PermissionError(errno.EACCES, "refused", "a.csv")}, "own", "PermissionError"),
        ({0: OSError("width 7")}, "own", "OSError: width 7"),
        ({0: OSError(errno.ENOMEM, "Cannot allocate memory")}, "memory", "out of memory"),
        ({0: RuntimeError(NCCL_MEMORY)}, "memory", "out of memory: NCCL error in"),
        ({0: RuntimeError(CUBLAS_MEMORY)}, "memory", "out of memory: CUDA error: CUBLAS"),
        ({0: RuntimeError("CUDA error: out of memory")}, "memory", "out of memory"),
        ({0: RuntimeError(CPU_MEMORY)}, "memory", "out of memory: [enforce fail"),
        ({0: DEAD, 1: RuntimeError(NCCL_MEMORY)}, "memory", "out of memory"),
        ({0: RuntimeError(NCCL_TWICE)}, "own", "RuntimeError: NCCL error in"),
        ({0: RuntimeError(NCCL_REMOTE)}, "lost", "RuntimeError: NCCL error in"),
        ({0: ValueError("the plug-in is out of memory of its own")}, "own", "ValueError"),
    ],
)
def test_whose_fault_it_was(failures: dict[int, Exception], kind: str, reason: str) -> None:
    found = explain(WorkerGroupError("of no use", failures))
    assert found.kind == kind and found.reason.startswith(reason)


def test_a_student_given_up_has_the_workers_error_and_traceback(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error as it comes out of the worker's process, which drops its traceback."""

    def step(job: Job, settings: LaunchSettings) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(worker, "_train", step)
    with pytest.raises(RuntimeError) as raised:
        worker.train_job({"job": packed(()), "settings": None})
    sent = pickle.loads(pickle.dumps(raised.value))
    failure = explain(WorkerGroupError("of no use", {0: sent}))
    part = Part((Cohort(trials(1)),), micro_batch=8)
    settings = launch_settings(
        tracking_uri=place.uri, experiment=place.experiment, spool=tmp_path / "spool"
    )
    _give_up(part, Failure("lost", "gone"), settings)
    assert records(place) == ()  # what lost its machine stays open
    _give_up(part, failure, settings)
    log = logs.read(part.trials[0].id, place.uri)
    assert (log.status, log.head["micro_batch"]) == ("FAILED", "8")
    told_lines = list(log.lines())
    where = told_lines[told_lines.index(f"failed: {failure.reason}") + 1 :]
    assert where[0].startswith("Traceback") and any("in step" in line for line in where)
    assert where[-1] == failure.reason == f"RuntimeError: {sent}"


def test_a_node_that_the_cloud_takes_away_is_a_preemption() -> None:
    """By Train's own error, and by an actor that died with its node before Train knew."""
    notice = PreemptionInfo(deadline_ms=None, preempted_node_to_ranks={"n": [0]})
    assert explain(PreemptionError(notice)).kind == "preempted"
    died = ray.exceptions.ActorDiedError()
    died._preempted = True
    dead = WorkerHealthCheckFailedError("no answer", died)
    assert explain(WorkerGroupError("of no use", {0: dead})).kind == "preempted"
    assert explain(WorkerGroupError("of no use", {0: dead, 1: DEAD})).kind == "preempted"


def test_a_lost_controller_is_a_loss() -> None:
    assert explain(ControllerError(OSError("gone"))) == Failure("lost", "OSError: gone")


def test_a_worker_lost_where_the_kernel_killed_for_memory_was_short_of_it() -> None:
    lost = WorkerGroupError("of no use", {0: DEAD})
    assert explain(lost, by_kernel=True).kind == "memory"
    own = WorkerGroupError("of no use", {0: ValueError("width 7")})
    assert explain(own, by_kernel=True).kind == "own"
