"""Cross entropy and KL over a large vocabulary, computed in chunks of positions.

The logits of a batch have positions x vocabulary elements: 2.4 GB in fp32 for 4,096 tokens and
150,000 words. The loss, its gradient and the teacher's logits would each have the same size. Here
the hidden states of a chunk of positions are mapped to logits and to their share of the losses, and
the logits are freed; the backward pass recomputes them and keeps only the gradients of hidden
states and head. As in Liger's fused linear losses (arXiv 2410.10989), in plain torch so that it
runs on every device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from raykd.models.outputs import Head, Outputs

CHUNK = 2**24  # logits in memory at a time: 64 MB in fp32


def outputs_losses(
    student: Outputs,
    teacher: Outputs | None,
    labels_P: Tensor,
    temperature: float,
    positions: int,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """`losses.cross_entropy` and `losses.kl` of outputs under heads, with the same values and
    gradients; at most `chunk` logits exist at a time for each of student and teacher."""
    assert student.head is not None
    head = student.head
    ce, kl = _Losses.apply(  # type: ignore[no-untyped-call]
        student.x_PC, head.weight_VD, head.bias_V, labels_P, head, teacher, temperature, chunk
    )
    return ce / positions, kl * (temperature**2 / positions)


class _Losses(torch.autograd.Function):
    """Sums over the positions: (cross entropy, KL at a temperature). The head is passed as tensors,
    for differentiation, and as an object, for its other settings."""

    @staticmethod
    def forward(
        ctx: Any,
        x_PD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        labels_P: Tensor,
        head: Head,
        teacher: Outputs | None,
        temperature: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x_PD, weight_VD, bias_V, labels_P)
        device = x_PD.device.type
        dtype = weight_VD.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        ctx.head, ctx.teacher, ctx.temperature = head.detached(), teacher, temperature
        ctx.chunk, ctx.dtype = chunk, dtype
        ce = x_PD.new_zeros((), dtype=torch.float32)
        kl = torch.zeros_like(ce)
        with torch.autocast(device, enabled=False):
            for part, z_pV, t_pV in _chunks(x_PD, ctx.head, teacher, chunk, dtype):
                ce += F.cross_entropy(z_pV, labels_P[part], reduction="sum")
                if t_pV is not None:
                    student_log = F.log_softmax(z_pV.div_(temperature), -1)
                    teacher_log = F.log_softmax(t_pV.div_(temperature), -1)
                    kl += F.kl_div(student_log, teacher_log, log_target=True, reduction="sum")
        return ce, kl

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_PD, weight_VD, bias_V, labels_P = ctx.saved_tensors
        d_ce, d_kl = grads
        temperature, head, dtype = ctx.temperature, ctx.head, ctx.dtype
        dx_PD = torch.empty_like(x_PD)
        needs_grad = ctx.needs_input_grad
        # In fp32, because many chunks are summed.
        dw_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if needs_grad[1] else None
        db_V = torch.zeros_like(bias_V, dtype=torch.float32) if needs_grad[2] else None
        weight_c = weight_VD.to(dtype)
        with torch.autocast(x_PD.device.type, enabled=False):
            for part, z_pV, t_pV in _chunks(x_PD, head, ctx.teacher, ctx.chunk, dtype):
                slope_pV = None if head.cap is None else 1 - (z_pV / head.cap).square()
                d_pV = F.softmax(z_pV, -1)
                d_pV[torch.arange(len(d_pV), device=d_pV.device), labels_P[part]] -= 1
                d_pV *= d_ce
                if t_pV is not None:
                    difference = F.softmax(z_pV.div_(temperature), -1)
                    difference -= F.softmax(t_pV.div_(temperature), -1)
                    d_pV += difference.mul_(d_kl / temperature)
                if slope_pV is not None:
                    d_pV *= slope_pV
                if head.scale != 1.0:
                    d_pV *= head.scale
                small_pV = d_pV.to(dtype)
                dx_PD[part] = (small_pV @ weight_c).to(x_PD.dtype)
                if dw_VD is not None and dtype == torch.float32:
                    dw_VD.addmm_(small_pV.T, x_PD[part].to(dtype))
                elif dw_VD is not None:
                    dw_VD += small_pV.T @ x_PD[part].to(dtype)
                if db_V is not None:
                    db_V += d_pV.sum(0)
        return (
            dx_PD,
            None if dw_VD is None else dw_VD.to(weight_VD.dtype),
            None if db_V is None else db_V.to(bias_V.dtype),
            None, None, None, None, None,
        )  # fmt: skip


def _chunks(
    x_PD: Tensor, head: Head, teacher: Outputs | None, chunk: int, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
    """Slices of positions with the logits of student and teacher in fp32, which the caller may
    overwrite."""
    size = max(1, chunk // len(head.weight_VD))
    student_head = head.cast(dtype)
    teacher_head = (
        teacher.head.cast(dtype) if teacher is not None and teacher.head is not None else None
    )
    for first in range(0, len(x_PD), size):
        part = slice(first, first + size)
        z_pV = student_head(x_PD[part].detach().to(dtype)).float()
        t_pV = None
        if teacher is not None:
            t_PC = teacher.x_PC[part]
            t_pV = (
                t_PC.float().clone()
                if teacher_head is None
                else teacher_head(t_PC.to(dtype)).float()
            )
        yield part, z_pV, t_pV


@torch.no_grad()
def log_likelihoods(outputs: Outputs, labels_P: Tensor, chunk: int = CHUNK) -> Tensor:
    """The log-probability [P] of each label, in nats."""
    assert outputs.head is not None
    weight_VD = outputs.head.weight_VD
    device = outputs.x_PC.device.type
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else weight_VD.dtype
    log_likelihoods_P = torch.empty(len(labels_P), device=outputs.x_PC.device)
    with torch.autocast(device, enabled=False):
        for part, z_pV, _ in _chunks(outputs.x_PC, outputs.head, None, chunk, dtype):
            log_likelihoods_P[part] = -F.cross_entropy(z_pV, labels_P[part], reduction="none")
    return log_likelihoods_P
