"""BERT-EMD: every student block imitates every teacher block, as the cheapest transport has it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    from raykd.losses.hidden.inputs import HiddenInputs, Terms
    from raykd.maps.activations import Activation


# Which blocks exchange how much depends on values; tinybert makes as many tensors.
@register_hidden_loss(
    form="blocks",
    terms=("embedding", "states", "attention"),
    reads=("state", "query", "key"),
    any_map=False,
    encoder_only=True,
    equal_heads=True,
    stand_in="tinybert",
)
def bert_emd(inputs: HiddenInputs) -> Terms:
    """Squared errors of embedding outputs, of states and of attention scores. States and scores of
    every student block are compared with every teacher block, weighted by the cheapest transport
    between them (Li et al. 2020, arXiv 2010.06133, section 3).

    The transport is computed for each example (in the paper, for each batch), so it depends neither
    on the batch nor on its split over workers. All blocks have equal weight; the paper's
    reweighting of blocks by their last costs ("cost attention") is not implemented.
    """
    import torch

    from raykd.losses.hidden.attention import score_mse, scores_of
    from raykd.losses.hidden.kinds.squared_error import mse

    tokens, examples = inputs.rows.tokens, inputs.rows.examples
    embedding = [
        mse(inputs.student[s], inputs.teacher[t], tokens, examples)
        for s, t in inputs.pairs
        if not s.block
    ]
    student_scores = {s: scores_of(inputs, inputs.student, s) for s in inputs.targets}
    teacher_scores = {t: scores_of(inputs, inputs.teacher, t) for _, t in inputs.blocks}

    def states(s: Activation, t: Activation) -> Tensor:
        squared_ND = (inputs.student[s].float() - inputs.teacher[t].float()).square()
        return inputs.rows.mean(squared_ND.mean(-1, keepdim=True))[:, 0]

    return (
        embedding[0] if embedding else inputs.rows.mask_BT.new_zeros((), dtype=torch.float32),
        _transported(inputs, states),
        _transported(
            inputs, lambda s, t: score_mse(student_scores[s], teacher_scores[t], inputs.rows)
        ),
    )


def _transported(inputs: HiddenInputs, cost: Callable[[Activation, Activation], Tensor]) -> Tensor:
    """The cost of each example's cheapest transport between all blocks. `cost` returns the costs
    x_B of a student and a teacher block; only pairs with a positive flow have gradients."""
    import torch

    targets = inputs.targets
    with torch.no_grad():
        costs = torch.stack(
            [torch.stack([cost(s, t) for t in ts], 1) for s, ts in targets.items()],
            1,
        )
    flow = flows(costs.double().cpu().numpy())
    used = flow.max(0) > 0  # on the host, to avoid a GPU synchronisation for each pair
    flow_BST = torch.from_numpy(flow).to(costs)
    return inputs.share(
        torch.stack(
            [
                flow_BST[:, i, j] * cost(s, t)
                for i, (s, ts) in enumerate(targets.items())
                for j, t in enumerate(ts)
                if used[i, j]
            ]
        ).sum(0)
    )


def flows(costs_BST: np.ndarray) -> np.ndarray:
    """Flow from each student block to each teacher block for each example, [B, S, T]: the cheapest
    transport in which every student block gives 1 / S and every teacher block receives 1 / T.

    An optimal transport exists in multiples of 1 / lcm(S, T). It is therefore an assignment between
    blocks that are divided into these parts, which scipy solves exactly.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    _, S, T = costs_BST.shape
    parts = math.lcm(S, T)
    student, teacher = np.repeat(np.arange(S), parts // S), np.repeat(np.arange(T), parts // T)
    flows_BST = np.zeros_like(costs_BST)
    for costs_ST, flow_ST in zip(costs_BST, flows_BST, strict=True):
        rows, columns = linear_sum_assignment(costs_ST[np.ix_(student, teacher)])
        np.add.at(flow_ST, (student[rows], teacher[columns]), 1 / parts)
    return flows_BST
