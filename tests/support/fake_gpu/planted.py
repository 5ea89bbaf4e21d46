"""Mistakes, each planted in five places, all of which the simulated GPU must catch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from benchmarks.gpu import every_loss
from raykd.losses.hidden import registry
from raykd.losses.hidden.inputs import HiddenInputs
from raykd.tasks import classification
from raykd.training.learner import Learner

from .world import Cohort, evaluated, stepped

Mistake = Callable[[Tensor], Tensor]
MISTAKES: dict[str, Mistake] = {
    ".item()": lambda x: x * (x.sum().item() > 0),
    ".cpu()": lambda x: x.cpu().to(x.device, non_blocking=True),
    "bool(t)": lambda x: x if bool((x != 0).any()) else -x,
    "a CPU tensor": lambda x: x * torch.ones(x.shape[-1]).to(x.dtype),
    "none": lambda x: x,
}


def _loss(mistake: Mistake) -> AbstractContextManager[Any]:
    right = registry.hidden_loss("mse")
    wrong = replace(right, function=lambda s, *rest: right.function(mistake(s), *rest))
    return patch.dict(registry._REGISTERED, {"mse": wrong})


def _method(mistake: Mistake) -> AbstractContextManager[Any]:
    right = registry.hidden_loss("pkd")

    def function(inputs: HiddenInputs) -> Any:
        student = {k: mistake(x) for k, x in inputs.student.items()}
        return right.function(replace(inputs, student=student))

    return patch.dict(registry._REGISTERED, {"pkd": replace(right, function=function)})


def _evaluation(mistake: Mistake) -> AbstractContextManager[Any]:
    right = classification.over_rows

    def over_rows(*args: Any) -> Any:
        *rest, answer = args
        return right(*rest, lambda rows: mistake(answer(rows)))

    return patch.object(classification, "over_rows", over_rows)


def _optimizer(mistake: Mistake) -> AbstractContextManager[Any]:
    right = Learner.__init__

    def init(self: Learner, *args: Any, **options: Any) -> None:
        right(self, *args, **options)

        def changed(*_: Any) -> None:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad = mistake(parameter.grad)

        self.optimizer.register_step_pre_hook(changed)

    return patch.object(Learner, "__init__", init)


def _masks(mistake: Mistake) -> AbstractContextManager[Any]:
    right = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]

    def mask(*args: Any, **options: Any) -> Tensor:
        return mistake(right(*args, **options))

    return patch.dict(ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, {"sdpa": mask})


PLACES: dict[str, tuple[Callable[[Mistake], AbstractContextManager[Any]], str]] = {
    "loss": (_loss, "mse"), "method": (_method, "pkd"), "evaluation": (_evaluation, "mse"),
    "optimizer": (_optimizer, "mse"), "masks": (_masks, "mse"),
}  # fmt: skip


def planted() -> dict[str, Callable[[torch.device], object]]:
    return {
        f"{mistake} in {place}": partial(_run, place, mistake)
        for place in PLACES
        for mistake in MISTAKES
    }


def _run(place: str, mistake: str, device: torch.device) -> None:
    planting, kind = PLACES[place]
    case = next(c for c in every_loss.cases() if c.kind == kind)
    with planting(MISTAKES[mistake]):
        cohort = Cohort(case.config, [every_loss.prepared(case)[1]], device)
        if place == "evaluation":
            evaluated(cohort)
        else:
            stepped(cohort, 1)


WAITS: dict[str, Callable[[Tensor], object]] = {
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.detach().numpy(),
    "a blocking copy from the host": lambda x: torch.ones(3).to(x.device),
    "numbers of the host": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "selection by a mask": lambda x: x[x > 0],
    "assignment by a mask": lambda x: x.__setitem__(x > 0, x.new_zeros(())),
    "indices of the host": lambda x: x[torch.tensor([0, 1])],
    "nonzero": lambda x: x.nonzero(),
    "a copy into the host": lambda x: torch.zeros(3).copy_(x),
    "a real tensor": lambda x: x.sum() + REAL,
}
REAL = torch.zeros(1)
NO_WAITS: dict[str, Callable[[Tensor], object]] = {
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "masked_fill": lambda x: x.masked_fill(x > 0, 0.0),
    "a number": lambda x: 2.0 * x,
    "a copy that does not block": lambda x: torch.ones(3).to(x.device, non_blocking=True) * x,
    "indices of the device": lambda x: x[torch.zeros(2, dtype=torch.int64, device=x.device)],
}


def operations() -> dict[str, Callable[[torch.device], object]]:
    from .device import simulated, strict

    def run(operation: Callable[[Tensor], object], device: torch.device) -> None:
        with simulated() as mode:
            x = torch.empty(3, device=device)
            with strict(mode):
                operation(x)

    return {name: partial(run, operation) for name, operation in (WAITS | NO_WAITS).items()}
