"""models 12: fp32 means one arithmetic, wherever something is trained, and is recorded as what it
is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from raykd.cluster.launch import worker
from raykd.planning.estimate import calibrate
from raykd.runtime.execution import Execution
from raykd.runtime.precision import fp32_arithmetic, tf32
from raykd.sweep import fine_tune
from raykd.training.trainer import CohortTrainer

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class Reached(Exception):
    pass


@pytest.fixture(autouse=True)
def highest() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)


def test_an_arithmetic_is_named_by_device_and_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu(monkeypatch, (8, 0))
    assert (fp32_arithmetic(CPU), fp32_arithmetic(GPU)) == ("fp32", "fp32")
    with tf32():
        assert (fp32_arithmetic(CPU), fp32_arithmetic(GPU)) == ("fp32", "tf32")
        gpu(monkeypatch, (7, 5))
        assert fp32_arithmetic(GPU) == "fp32"
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_trial_records_the_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu(monkeypatch, (9, 0))

    class Sources:
        weights, buffers = "fp32", None

    trainer: Any = type("Loaded", (), {"sources": Sources})
    for device, name in ((CPU, "fp32"), (GPU, "tf32")):
        with tf32():
            assert CohortTrainer._precision(trainer, Execution(device)) == name
            assert CohortTrainer._precision(trainer, Execution(device, precision="bf16")) == "bf16"


def during(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: Any) -> str:
    """The precision of products in a call, at the point where it calls `name` of its module."""
    settings = []

    def stop(*_: Any, **__: Any) -> None:
        settings.append(torch.get_float32_matmul_precision())
        raise Reached

    monkeypatch.setattr(module, name, stop)
    with pytest.raises(Reached):
        call()
    assert torch.get_float32_matmul_precision() == "highest"
    return settings[0]


def test_workers_teachers_and_timings_compute_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    def stub(**values: Any) -> Any:
        return type("Stub", (), values)

    monkeypatch.setattr(fine_tune.teacher, "stored", lambda *_: None)
    monkeypatch.setattr(worker.torch, "set_num_threads", lambda _: None)
    study = stub(home=None, teacher=None)
    request, settings = stub(threads=1), stub(share=stub(cpus=1))
    where = Execution()
    assert {
        during(monkeypatch, fine_tune, "_make", lambda: fine_tune.fine_tune(study, where=where)),
        during(monkeypatch, worker.Group, "current", lambda: worker._train((), settings)),
        during(monkeypatch, calibrate, "_materials", lambda: calibrate.student(request, 0.0, list)),
        during(monkeypatch, calibrate, "_materials", lambda: calibrate.teacher(request, 0.0)),
    } == {"high"}
