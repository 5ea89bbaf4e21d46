"""The step of every hidden loss on a simulated GPU: `python -m tests.support.fake_gpu` prints one
line per case. Tensors have shapes and devices but no content; mixing CPU and GPU tensors is an
error, as on a real GPU. A loss that reads content (an example's transport, places chosen by a mask)
raises at that point, after everything that is tested here."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

LOOKS = (DataDependentOutputException, DynamicOutputShapeException)
HOST = ".numpy() is not supported"  # the message of a fake tensor whose content the host reads
FUSED = torch.optim.AdamW


def install() -> torch.device:
    """Register a device type named gpu, with the functions that torch expects of one."""
    _setup_privateuseone_for_python_backend("gpu")
    module: Any = torch.gpu  # type: ignore[attr-defined]
    module.manual_seed_all = lambda seed: None
    module._is_in_bad_fork = lambda: False
    module.get_amp_supported_dtype = lambda: [torch.bfloat16]
    torch.optim.AdamW = lambda *args, **options: FUSED(*args, **{**options, "fused": False})  # type: ignore[misc, assignment]
    return torch.device("gpu", 0)


def placed(module: nn.Module, device: torch.device) -> nn.Module:
    """The module on the device; fake tensors cannot be moved in place."""
    moved: dict[int, nn.Parameter] = {}  # keeps tied weights tied
    for part in module.modules():
        for name, tensor in [*part._parameters.items()]:
            if tensor is not None and tensor.device.type != device.type:
                new = nn.Parameter(torch.empty_like(tensor, device=device))
                part._parameters[name] = moved.setdefault(id(tensor), new)
        for name, tensor in [*part._buffers.items()]:
            if tensor is not None and tensor.device.type != device.type:
                part._buffers[name] = torch.empty_like(tensor, device=device)
    return module


def step(case: Any, device: torch.device) -> None:
    from benchmarks.gpu import every_loss, world
    from raykd.losses.hidden.statistics import unit_statistics
    from raykd.models.student import student_config, width
    from raykd.runtime.execution import Execution
    from raykd.runtime.group import Group
    from raykd.teachers.targets import LiveTeacher
    from raykd.training.learner import Learner

    family, spec, loss = every_loss.prepared(case)
    with torch.device("meta"):
        models = [family.auto.from_config(case.config),
                  family.auto.from_config(student_config(case.config, spec.shape))]  # fmt: skip
    encoded = every_loss.rows(case.task)
    indices = np.arange(len(encoded.ids))
    where = Execution(device)
    with FakeTensorMode(allow_non_fake_inputs=True):
        teacher, student = (placed(m, device) for m in models)
        arguments = (family, width(teacher), Group(), device, where.autocast())
        statistics = unit_statistics(spec.hidden_kinds, spec.imitated, width(teacher), device)
        learner = Learner(spec, student, *arguments, statistics=statistics)
        live = LiveTeacher(
            teacher, spec.teacher_states, family, where.autocast(), padded=loss.padded
        )
        batch = family.collate(encoded, indices, world.PAD).to(device)
        learner.backward(batch, live(batch), 0)
        learner.update(0)


def main() -> None:
    device = install()
    from benchmarks.gpu import every_loss
    from raykd.losses.hidden import registry
    from raykd.training import learner

    learner.moved = placed  # type: ignore[assignment]
    for case in every_loss.cases():
        try:
            step(case, device)
            outcome = "ran"
        except LOOKS:
            outcome = "looked"
        except Exception as error:
            outcome = "looked" if HOST in str(error) else "".join(traceback.format_exception(error))
        print(f"{case.name}: {outcome}")
    # Plant a mistake that must be noticed: a loss that creates a weight on the CPU.
    right = registry.hidden_loss("mse")
    registry._REGISTERED["mse"] = replace(
        right, function=lambda s, t, n, e: right.function(s * torch.ones(s.shape[-1]), t, n, e)
    )
    try:
        step(next(case for case in every_loss.cases() if case.kind == "mse"), device)
        print("planted: ran")
    except Exception as error:
        print(f"planted: {type(error).__name__}")


if __name__ == "__main__":
    main()
