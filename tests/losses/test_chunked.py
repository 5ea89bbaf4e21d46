"""Losses by chunks are those of whole logits, and no tensor is as large as the logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from raykd.config.trial import Init, Shape
from raykd.data.encoded import Encoded
from raykd.data.token_lists import flat
from raykd.losses import outputs
from raykd.losses.chunked import outputs_losses
from raykd.maps.layer_map import LayerMap
from raykd.models.outputs import Head, Outputs
from raykd.models.student import build_student
from raykd.runtime.execution import Execution
from raykd.tasks.causal_lm import CausalLM
from raykd.teachers.targets import LiveTeacher
from raykd.training.learner import Learner

from ..support.specs import spec
from ..support.tiny_lms import tiny_lm

P, D, V, POSITIONS = 37, 8, 50, 90  # POSITIONS: of the global batch, of which these are a share


def made(seed: int, width: int = D, bias: bool = False, **form: Any) -> Outputs:
    draw = torch.Generator().manual_seed(seed)
    x_PD = torch.randn(P, width, generator=draw).requires_grad_()
    weight_VD = torch.randn(V, width, generator=draw).requires_grad_()
    bias_V = torch.randn(V, generator=draw).requires_grad_() if bias else None
    return Outputs(x_PD, Head(weight_VD, bias_V, **form))


def plain(student: Outputs, teacher: Outputs | None, labels_P: Tensor, t: float) -> list[Tensor]:
    ce = outputs.cross_entropy(student.logits(), labels_P, POSITIONS)
    if teacher is None:
        return [ce, torch.zeros_like(ce)]
    return [ce, outputs.kl(student.logits(), teacher.logits(), t, POSITIONS)]


FORMS: dict[str, dict[str, Any]] = {
    "linear": {},
    "bias": {"bias": True},
    "scaled": {"scale": 0.25, "bias": True},
    "capped": {"cap": 3.0},
    "all": {"bias": True, "scale": 0.5, "cap": 3.0},
}


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("chunk", [1, 3 * V, 10**6])
@pytest.mark.parametrize("taught", [True, False])
def test_values_and_gradients_are_those_of_whole_logits(
    form: str, temperature: float, chunk: int, taught: bool
) -> None:
    student = made(0, **FORMS[form])
    teacher = made(1, width=12) if taught else None
    labels_P = torch.randint(V, (P,), generator=torch.Generator().manual_seed(2))
    assert student.head is not None
    leaves = [x for x in (student.x_PC, student.head.weight_VD, student.head.bias_V)
              if x is not None]  # fmt: skip
    found = outputs_losses(student, teacher, labels_P, temperature, POSITIONS, chunk)
    wanted = plain(student, teacher, labels_P, temperature)
    weights = (0.7, 1.9)  # unlike each other, as in a sweep file
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)
    a = torch.autograd.grad(sum(w * x for w, x in zip(weights, found, strict=True)), leaves)
    b = torch.autograd.grad(sum(w * x for w, x in zip(weights, wanted, strict=True)), leaves)
    torch.testing.assert_close(a, b)


def test_a_frozen_head_gets_no_gradient() -> None:
    student = made(0)
    assert student.head is not None
    student.head.weight_VD.requires_grad_(False)
    ce, _ = outputs_losses(student, None, torch.zeros(P, dtype=torch.long), 1.0, P)
    ce.backward()
    assert student.x_PC.grad is not None and student.head.weight_VD.grad is None


def test_under_bf16_autocast_the_products_are_bf16_and_the_losses_fp32() -> None:
    student, teacher = made(0), made(1)
    labels_P = torch.zeros(P, dtype=torch.long)
    wanted = plain(student, teacher, labels_P, 1.0)
    with torch.autocast("cpu", torch.bfloat16), largest() as seen:
        ce, kl = outputs_losses(student, teacher, labels_P, 1.0, POSITIONS)
    assert ce.dtype == kl.dtype == torch.float32
    assert torch.bfloat16 in seen.dtypes
    for a, b in zip((ce, kl), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=0.02)
    (ce + kl).backward()
    assert student.x_PC.grad is not None and student.x_PC.grad.dtype == torch.float32


class Largest(TorchDispatchMode):
    """Sees every tensor that an operation makes, in backward too."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.untyped_storage().nbytes() // 4)
                self.dtypes.add(x.dtype)
        return out


@contextmanager
def largest() -> Iterator[Largest]:
    with Largest() as mode:
        yield mode


@pytest.mark.parametrize(("positions", "vocabulary"), [(300, 4000), (1200, 4000), (300, 16000)])
def test_the_largest_tensor_grows_neither_with_positions_nor_as_positions_times_vocabulary(
    positions: int, vocabulary: int
) -> None:
    """Beside a chunk there are the hidden states and the head, and the gradients of these."""
    chunk, width = 40_000, 4
    draw = torch.Generator().manual_seed(0)

    def said() -> Outputs:
        x_PD = torch.randn(positions, width, generator=draw).requires_grad_()
        return Outputs(x_PD, Head(torch.randn(vocabulary, width, generator=draw).requires_grad_()))

    student, teacher = said(), said()
    labels_P = torch.randint(vocabulary, (positions,), generator=draw)
    with largest() as seen:
        ce, kl = outputs_losses(student, teacher, labels_P, 2.0, positions, chunk)
        (ce + kl).backward()
    assert seen.elements <= max(chunk, width * vocabulary)
    with largest() as whole:
        sum(plain(student, teacher, labels_P, 2.0)).backward()  # type: ignore[union-attr]
    assert whole.elements >= positions * vocabulary


def test_no_tensor_of_a_whole_step_is_as_large_as_the_logits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forward, losses, backward and update of a student under a live teacher."""
    vocabulary, chunk = 5000, 20_000
    small = partial(outputs_losses, chunk=chunk)
    monkeypatch.setattr(outputs, "outputs_losses", small)
    teacher = tiny_lm("smollm2", width=16, vocab=vocabulary)
    student = build_student(teacher, Shape(2), Init("copied", (1, 3), head=True), 0)
    targets = [list(range(5, 45))] * 4
    rows = Encoded(
        "made up", type_ids=None, labels=None, ids=np.array(list("abcd")),
        **flat("input_ids", "offsets", [[2, 3, *t] for t in targets]),
        **flat("targets", "target_offsets", targets),
    )  # fmt: skip
    trial = spec(layer_map=LayerMap((2, 4)), shape=Shape(2))
    learner = Learner(
        trial, student, CausalLM(), 16, Execution()
    )  # fmt: skip
    live = LiveTeacher(teacher, trial.teacher_states, CausalLM(), nullcontext())
    batch = CausalLM().collate(rows, np.arange(4), 0)
    assert batch.positions == 160
    with largest() as seen:
        learner.backward(batch, live(batch), 0)
        learner.update(0)
    assert seen.elements <= max(chunk, 16 * vocabulary) < 160 * vocabulary / 9
