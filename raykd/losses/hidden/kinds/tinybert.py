"""TinyBERT's losses on states and attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from raykd.losses.hidden.inputs import HiddenInputs, Terms


@register_hidden_loss(
    form="blocks",
    terms=("states", "attention"),
    reads=("state", "query", "key"),
    encoder_only=True,
    equal_heads=True,
)
def tinybert(inputs: HiddenInputs) -> Terms:
    """Squared error of states, mean over valid tokens and width, and of attention scores before
    their softmax, mean over the heads and pairs of tokens of an example; both averaged over blocks
    (Jiao et al. 2020, arXiv 1909.10351, equations 7 to 9). Each block has its own projection; the
    released code shares one."""
    import torch

    from raykd.losses.hidden.attention import score_mse, scores_of
    from raykd.losses.hidden.kinds.squared_error import mse

    tokens, examples = inputs.rows.tokens, inputs.rows.examples
    states = [mse(inputs.student[s], inputs.teacher[t], tokens, examples) for s, t in inputs.pairs]
    attention = [
        inputs.share(score_mse(scores_of(inputs, inputs.student, s),
                               scores_of(inputs, inputs.teacher, t), inputs.rows))
        for s, t in inputs.blocks
    ]  # fmt: skip
    return torch.stack(states).mean(), torch.stack(attention).mean()
