"""Whether a hidden loss can be computed for a teacher and a student."""

from __future__ import annotations

import copy

import torch
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForSequenceClassification,
    PretrainedConfig,
)

from raykd.config.trial import Shape
from raykd.losses.hidden.registry import hidden_loss
from raykd.models.capture import projection, stacks
from raykd.models.student import student_config


def misfit(teacher: PretrainedConfig, shape: Shape, kind: str) -> str | None:
    """Why a hidden loss of this kind cannot be computed for such a teacher and student, in one
    line; None if it can. Needs only the configuration of the teacher."""
    return _other_attention(teacher, kind) or _unreadable(
        teacher, student_config(teacher, shape), kind
    )


def misfit_of_models(teacher: PretrainedConfig, student: PretrainedConfig, kind: str) -> str | None:
    """The same for a student of any configuration."""
    return _other_attention(teacher, kind) or _unreadable(teacher, student, kind)


def _other_attention(teacher: PretrainedConfig, kind: str) -> str | None:
    if hidden_loss(kind).encoder_only and type(teacher) not in MODEL_FOR_MASKED_LM_MAPPING:
        return (
            f"{kind} looks at a first token and at attention that see the whole text, as an "
            f"encoder's do, and {teacher.model_type} is none; take another loss"
        )
    return None


def _unreadable(teacher: PretrainedConfig, student: PretrainedConfig, kind: str) -> str | None:
    loss = hidden_loss(kind)
    if loss.equal_heads:
        student_heads, teacher_heads = student.num_attention_heads, teacher.num_attention_heads
        if student_heads != teacher_heads:
            return (
                f"{kind} compares attention head by head, and the student has {student_heads} "
                f"heads, the teacher {teacher_heads}; write `student.heads: {teacher_heads}` or "
                "take minilm_v2"
            )
    inside = [activation for activation in loss.reads if activation != "state"]
    if not inside:
        return None
    student = copy.deepcopy(student)
    student.num_hidden_layers = 1
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(student)
    try:
        for activation in inside:
            projection(stacks(model)["encoder"][0], activation)
    except ValueError as error:
        return f"{kind} reads queries and keys, and {error}; take a loss that compares states"
    return None
