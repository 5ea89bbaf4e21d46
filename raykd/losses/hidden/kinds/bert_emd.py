"""BERT-EMD: every student block imitates every teacher block, as the cheapest transport has it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss
from raykd.losses.hidden.transport import cheapest_flows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    from torch import Tensor

    from raykd.losses.hidden.inputs import HiddenInputs, Terms
    from raykd.maps.activations import Activation

    Cost = Callable[[Tensor, Tensor], Tensor]
    Values = Mapping[Activation, Tensor]
    Compared = tuple[Cost, Values, Values]
    """The cost of a student and a teacher activation, and the activations by block."""


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

    def states(student_ND: Tensor, teacher_ND: Tensor) -> Tensor:
        squared_ND = (student_ND.float() - teacher_ND.float()).square()
        return inputs.rows.mean(squared_ND.mean(-1, keepdim=True))[:, 0]

    def attention(student_BHTT: Tensor, teacher_BHTT: Tensor) -> Tensor:
        return score_mse(student_BHTT, teacher_BHTT, inputs.rows)

    compared = (
        (states, inputs.student, inputs.teacher),
        (attention, student_scores, teacher_scores),
    )
    costs = [_costs(inputs, *activations) for activations in compared]
    on_cpu = inputs.rows.mask_BT.device.type == "cpu"
    transported = _solved_on_host if on_cpu else _solved_on_device
    return (
        embedding[0] if embedding else inputs.rows.mask_BT.new_zeros((), dtype=torch.float32),
        *transported(inputs, costs, compared),
    )


def _costs(inputs: HiddenInputs, cost: Cost, student: Values, teacher: Values) -> Tensor:
    """The costs [B, S, T] of a student and a teacher block, without gradients."""
    import torch

    with torch.no_grad():
        return torch.stack(
            [
                torch.stack([cost(student[s], teacher[t]) for t in ts], 1)
                for s, ts in inputs.targets.items()
            ],
            1,
        )


def _solved_on_host(
    inputs: HiddenInputs, costs: list[Tensor], compared: Iterable[Compared]
) -> Iterator[Tensor]:
    """The cost of each example's cheapest transport between all blocks, of states and of attention.
    Only pairs with a positive flow have gradients."""
    import torch

    for costs_BST, (cost, student, teacher) in zip(costs, compared, strict=True):
        flow = flows(costs_BST.double().numpy())
        used = flow.max(0) > 0
        flow_BST = torch.from_numpy(flow).to(costs_BST)
        yield inputs.share(
            torch.stack(
                [
                    flow_BST[:, i, j] * cost(student[s], teacher[t])
                    for i, (s, ts) in enumerate(inputs.targets.items())
                    for j, t in enumerate(ts)
                    if used[i, j]
                ]
            ).sum(0)
        )


def _solved_on_device(
    inputs: HiddenInputs, costs: list[Tensor], compared: Iterable[Compared]
) -> Iterator[Tensor]:
    """The same without a wait for the device. Which flows are positive is not known to the host: to
    keep no graph of all pairs, the gradient is taken to the mix of a student block's targets. That
    of sum f_t |s - t|² is the gradient of (sum f_t) |s - mix|², mix = sum f_t t / sum f_t."""
    import torch

    flow_BST = cheapest_flows(torch.cat(costs)).to(costs[0])
    students = list(inputs.targets)
    for costs_BST, flow, (cost, student, teacher) in zip(
        costs, torch.split(flow_BST, len(costs[0])), compared, strict=True
    ):
        terms = []
        for i, (s, ts) in enumerate(inputs.targets.items()):
            with torch.no_grad():
                mix = sum(
                    _at(inputs, flow[:, i, j] * len(students), teacher[t]) * teacher[t].float()
                    for j, t in enumerate(ts)
                )
            assert isinstance(mix, torch.Tensor)
            terms.append(cost(student[s], mix) / len(students))
        slope = inputs.share(torch.stack(terms).sum(0))
        yield slope + (inputs.share((flow * costs_BST).sum((1, 2))) - slope).detach()


def _at(inputs: HiddenInputs, x_B: Tensor, like: Tensor) -> Tensor:
    """An example's number at each of its tokens [N, 1], or at its scores [B, 1, 1, 1]."""
    if like.ndim == 2:
        examples_N = inputs.rows.places_N // inputs.rows.mask_BT.shape[1]
        return x_B.index_select(0, examples_N)[:, None]
    return x_B[:, None, None, None]


def flows(costs_BST: np.ndarray) -> np.ndarray:
    """Flow from each student block to each teacher block for each example, [B, S, T]: the cheapest
    transport in which every student block gives 1 / S and every teacher block receives 1 / T.

    An optimal transport exists in multiples of 1 / lcm(S, T). It is therefore an assignment between
    blocks that are divided into these parts, which scipy solves exactly. On the host it is faster
    than `cheapest_flows`, which an accelerator's batches are given to.
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
