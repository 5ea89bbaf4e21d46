"""MiniLM and MiniLMv2: relations of queries, keys and values inside the last block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from torch import Tensor

    from raykd.losses.hidden.inputs import HiddenInputs, Terms
    from raykd.maps.activations import ActivationKind


@register_hidden_loss(
    form="blocks",
    terms=("attention", "values"),
    reads=("query", "key", "value"),
    projects=False,
    encoder_only=True,
    equal_heads=True,
)
def minilm(inputs: HiddenInputs) -> Terms:
    """KL(teacher || student) of the attention distributions and of the value relations, softmax of
    v v^T / sqrt(d) head by head (Wang et al. 2020, arXiv 2002.10957, equations 5 to 9)."""
    import torch

    from raykd.losses.hidden.attention import relation, relation_kl, scores_of

    attention, values = [], []
    for s, t in inputs.blocks:
        student_scores, teacher_scores = (
            scores_of(inputs, inputs.student, s),
            scores_of(inputs, inputs.teacher, t),
        )
        attention.append(relation_kl(student_scores, teacher_scores, inputs.rows))
        values.append(relation(inputs, "value", s, t, inputs.heads))
    return torch.stack(attention).mean(), torch.stack(values).mean()


@register_hidden_loss(
    form="blocks",
    terms=("queries", "keys", "values"),
    reads=("query", "key", "value"),
    projects=False,
    encoder_only=True,
)
def minilm_v2(inputs: HiddenInputs) -> Terms:
    """KL(teacher || student) of the relations of queries, of keys and of values with themselves.
    All heads are joined and split again into relation heads, so that widths and heads may differ
    (Wang et al. 2021, arXiv 2012.15828, equations 5 to 8)."""
    import torch

    from raykd.losses.hidden.attention import relation, relation_heads

    kinds: tuple[ActivationKind, ...] = ("query", "key", "value")
    by_kind: list[list[Tensor]] = [[], [], []]
    for s, t in inputs.blocks:
        for terms, kind in zip(by_kind, kinds, strict=True):
            heads = relation_heads(
                inputs.student[s.of_kind(kind)].shape[1], inputs.teacher[t.of_kind(kind)].shape[1]
            )
            terms.append(relation(inputs, kind, s, t, heads))
    return tuple(torch.stack(terms).mean() for terms in by_kind)
