"""Losses on the outputs of a model: cross entropy, and KL to the teacher. Pure functions.

Shapes: P loss positions (one per example in classification), C classes. Every function returns the
share of this shard in the mean of the global batch, as those of hidden.py do.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PretrainedConfig

from raykd.losses.chunked import outputs_losses
from raykd.models.outputs import Outputs


def cross_entropy(
    logits_PC: Tensor, labels_P: Tensor, positions: int, weights_C: Tensor | None = None
) -> Tensor:
    """Mean cross entropy over the global batch's `positions`, each times the weight of its class; a
    scalar in nats. Weights with a mean of 1 over the rows keep its scale."""
    total = F.cross_entropy(logits_PC.float(), labels_P, weight=weights_C, reduction="sum")
    return total / positions


def kl(student_PC: Tensor, teacher_PC: Tensor, temperature: float, positions: int) -> Tensor:
    """T^2 * KL(teacher || student) at temperature T, mean over positions (Hinton et al., 2015)."""
    student = F.log_softmax(student_PC.float() / temperature, -1)
    teacher = F.log_softmax(teacher_PC.float() / temperature, -1)
    total = F.kl_div(student, teacher, log_target=True, reduction="sum")
    return total * (temperature**2 / positions)


def outputs(
    student: Outputs, teacher: Outputs | None, labels_P: Tensor, temperature: float, positions: int,
    weights_C: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """`cross_entropy` and `kl` of student and teacher; the KL is 0 without a teacher. With a head,
    logits are computed in chunks of positions (chunked.py), and classes have no weights."""
    if student.head is not None:
        return outputs_losses(student, teacher, labels_P, temperature, positions)
    logits_PC = student.logits()
    ce = cross_entropy(logits_PC, labels_P, positions, weights_C)
    if teacher is None:
        return ce, torch.zeros_like(ce)
    return ce, kl(logits_PC, teacher.logits(), temperature, positions)


def class_weights(
    stated: Iterable[tuple[str, float]] | None, config: PretrainedConfig, device: torch.device
) -> Tensor | None:
    """The weights of the classes in the order of the model's labels, [C], if any is stated."""
    if stated is None:
        return None
    by_label, names = dict(stated), config.id2label or {}
    # A model that was fine-tuned elsewhere may know labels that the data lacks.
    weights = [by_label.get(str(names[i]), 1.0) for i in range(len(names))]
    return torch.tensor(weights, device=device)
