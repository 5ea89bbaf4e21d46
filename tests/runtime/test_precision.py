"""models 12: fp32 means one arithmetic, wherever something is trained, and is recorded as what it
is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from raykd.cluster.launch import worker
from raykd.planning.estimate import calibrate
from raykd.runtime import precision
from raykd.runtime.execution import Execution
from raykd.runtime.precision import faster_precision, fp32_arithmetic, tf32
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
            for half in ("bf16", "fp16"):
                where = Execution(device, precision=half)  # type: ignore[arg-type]
                assert CohortTrainer._precision(trainer, where) == half


def measured(monkeypatch: pytest.MonkeyPatch, pays: bool) -> list[str]:
    """The half precisions that are timed from here on."""
    halves: list[str] = []
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    monkeypatch.setattr(precision, "_probe", lambda _, __, half: halves.append(half) or pays)
    return halves


def test_auto_is_the_half_precision_that_a_device_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    halves = measured(monkeypatch, pays=True)
    for capability, half in (((7, 5), "fp16"), ((7, 0), "fp16"), ((8, 0), "bf16")):
        gpu(monkeypatch, capability)
        home = tmp_path / str(capability)
        assert faster_precision(home, GPU, 768) == half
        assert faster_precision(home, CPU, 768) == "bf16"
        assert faster_precision(home, GPU, 768) == half  # stored, and not measured again
        assert halves == [half, "bf16"]
        halves.clear()


@pytest.mark.parametrize("paid", [False, True])
def test_a_stored_answer_without_fp16_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, paid: bool
) -> None:
    """The students of a sweep that is half done go on in one precision."""
    gpu(monkeypatch, (8, 0))
    halves = measured(monkeypatch, paid)  # as an earlier raykd asked
    before = faster_precision(tmp_path, GPU, 768)
    gpu(monkeypatch, (7, 5))
    assert faster_precision(tmp_path, GPU, 768) == before == ("bf16" if paid else "fp32")
    assert faster_precision(tmp_path, GPU, 384) == ("fp16" if paid else "fp32")
    assert halves == ["bf16", "fp16"]


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
