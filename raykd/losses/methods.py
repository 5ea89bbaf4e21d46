"""Hidden losses of published methods, which compare more than one state of one block at a time.

Each is a pure function of the activations of both models over a shard. Where the papers sum over
blocks, examples or tokens, these functions average, so that one `losses.hidden` suits every depth
and batch. Every function returns the share of this shard in the mean of the global batch, as those
of hidden.py do.

Shapes: N valid tokens, B examples, D width (the teacher's), S student and T teacher blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from raykd.losses import hidden
from raykd.losses.attention import Rows, relation_heads, relation_kl, score_mse, scores
from raykd.maps.activations import KEY, QUERY, VALUE
from raykd.maps.layer_map import LayerMap

RAIL_WIDTH = 128  # width of the space in which RAIL-KD compares; the paper does not state it
# Adam changes a parameter by about the learning rate at each step, whatever the gradient: at 1e-4
# the mixing weights of `learned_mix` would hardly change in ten thousand steps.
MIX_SCALE = 100.0


@dataclass(frozen=True)
class MethodInputs:
    """Activations of both models over a shard: vectors x_ND by the numbers of maps/activations.py,
    with student states in the width of the teacher if the loss requires it."""

    pairs: tuple[tuple[int, int], ...]
    student: Mapping[int, Tensor]
    teacher: Mapping[int, Tensor]
    rows: Rows
    heads: int
    """Attention heads of both models; MiniLMv2 uses its own number of heads."""
    weights: Mapping[str, Tensor]
    """Trained weights of the loss."""

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """The pairs without those of embedding outputs."""
        return tuple((s, t) for s, t in self.pairs if s)

    @property
    def targets(self) -> dict[int, list[int]]:
        """Teacher blocks of each matched student block."""
        by_student: dict[int, list[int]] = {}
        for s, t in self.blocks:
            by_student.setdefault(s, []).append(t)
        return by_student

    def share(self, x_B: Tensor) -> Tensor:
        """The share of this shard in the mean over the examples of the global batch."""
        return x_B.sum() / self.rows.examples


Terms = tuple[Tensor, ...]


def pkd(inputs: MethodInputs) -> Terms:
    """|| s / |s| - t / |t| ||^2 of the first token ([CLS]), mean over examples and blocks (Sun et
    al. 2019, arXiv 1908.09355, equation 7). The released code divides by the width too."""
    losses = []
    for s, t in inputs.pairs:
        student, teacher = (
            F.normalize(inputs.rows.first(x).float(), dim=-1)
            for x in (inputs.student[s], inputs.teacher[t])
        )
        losses.append(inputs.share((student - teacher).square().sum(-1)))
    return (torch.stack(losses).mean(),)


def tinybert(inputs: MethodInputs) -> Terms:
    """Squared error of states, mean over valid tokens and width, and of attention scores before
    their softmax, mean over the heads and pairs of tokens of an example; both averaged over blocks
    (Jiao et al. 2020, arXiv 1909.10351, equations 7 to 9). Each block has its own projection; the
    released code shares one."""
    tokens, examples = inputs.rows.tokens, inputs.rows.examples
    states = [
        hidden.mse(inputs.student[s], inputs.teacher[t], tokens, examples) for s, t in inputs.pairs
    ]
    attention = [
        inputs.share(score_mse(_attention(inputs, inputs.student, s),
                               _attention(inputs, inputs.teacher, t), inputs.rows))
        for s, t in inputs.blocks
    ]  # fmt: skip
    return torch.stack(states).mean(), torch.stack(attention).mean()


def minilm(inputs: MethodInputs) -> Terms:
    """KL(teacher || student) of the attention distributions and of the value relations, softmax of
    v v^T / sqrt(d) head by head (Wang et al. 2020, arXiv 2002.10957, equations 5 to 9)."""
    attention, values = [], []
    for s, t in inputs.blocks:
        student_scores, teacher_scores = (
            _attention(inputs, inputs.student, s),
            _attention(inputs, inputs.teacher, t),
        )
        attention.append(relation_kl(student_scores, teacher_scores, inputs.rows))
        values.append(_relation(inputs, VALUE, s, t, inputs.heads))
    return torch.stack(attention).mean(), torch.stack(values).mean()


def minilm_v2(inputs: MethodInputs) -> Terms:
    """KL(teacher || student) of the relations of queries, of keys and of values with themselves.
    All heads are joined and split again into relation heads, so that widths and heads may differ
    (Wang et al. 2021, arXiv 2012.15828, equations 5 to 8)."""
    by_kind: list[list[Tensor]] = [[], [], []]
    for s, t in inputs.blocks:
        for terms, kind in zip(by_kind, (QUERY, KEY, VALUE), strict=True):
            heads = relation_heads(
                inputs.student[kind + s].shape[1], inputs.teacher[kind + t].shape[1]
            )
            terms.append(_relation(inputs, kind, s, t, heads))
    return tuple(torch.stack(terms).mean() for terms in by_kind)


def rail_kd(inputs: MethodInputs) -> Terms:
    """States averaged over the tokens of an example, concatenated over the blocks of the epoch,
    projected by one trained matrix for each model and normalised to length one: squared distance,
    mean over examples (RAIL-KD^c, Haidar et al. 2022, arXiv 2109.10164, section 3)."""
    joined = (
        torch.cat([inputs.rows.mean(vectors[k].float()) for k in blocks], -1)
        for vectors, blocks in ((inputs.student, [s for s, _ in inputs.blocks]),
                           (inputs.teacher, [t for _, t in inputs.blocks]))
    )  # fmt: skip
    student, teacher = (
        F.normalize(x_BK @ inputs.weights[model].T, dim=-1)
        for x_BK, model in zip(joined, ("student", "teacher"), strict=True)
    )
    return (inputs.share((student - teacher).square().sum(-1)),)


def alp_kd(inputs: MethodInputs) -> Terms:
    """The first token ([CLS]) of a student block imitates the mix of those of the teacher blocks,
    weighted by the softmax of their dot products with it: squared error, mean over width, examples
    and blocks (Passban et al. 2021, arXiv 2012.14022). Gradients also flow through the weights."""
    first = {t: inputs.rows.first(inputs.teacher[t]).float() for _, t in inputs.blocks}
    losses = []
    for s, targets in inputs.targets.items():
        student_BD = inputs.rows.first(inputs.student[s]).float()
        teacher_BTD = torch.stack([first[t] for t in targets], 1)
        shares_BT = torch.softmax((teacher_BTD @ student_BD[:, :, None])[:, :, 0], -1)
        mixed_BD = (shares_BT[:, None] @ teacher_BTD)[:, 0]
        losses.append(inputs.share((student_BD - mixed_BD).square().mean(-1)))
    return (torch.stack(losses).mean(),)


def bert_emd(inputs: MethodInputs) -> Terms:
    """Squared errors of embedding outputs, of states and of attention scores. States and scores of
    every student block are compared with every teacher block, weighted by the cheapest transport
    between them (Li et al. 2020, arXiv 2010.06133, section 3).

    The transport is computed for each example (in the paper, for each batch), so it depends neither
    on the batch nor on its split over workers. All blocks have equal weight; the paper's
    reweighting of blocks by their last costs ("cost attention") is not implemented.
    """
    tokens, examples = inputs.rows.tokens, inputs.rows.examples
    embedding = [
        hidden.mse(inputs.student[s], inputs.teacher[t], tokens, examples)
        for s, t in inputs.pairs
        if not s
    ]
    student_scores = {s: _attention(inputs, inputs.student, s) for s in inputs.targets}
    teacher_scores = {t: _attention(inputs, inputs.teacher, t) for _, t in inputs.blocks}

    def states(s: int, t: int) -> Tensor:
        squared_ND = (inputs.student[s].float() - inputs.teacher[t].float()).square()
        return inputs.rows.mean(squared_ND.mean(-1, keepdim=True))[:, 0]

    return (
        embedding[0] if embedding else inputs.rows.mask_BT.new_zeros((), dtype=torch.float32),
        _transported(inputs, states),
        _transported(
            inputs, lambda s, t: score_mse(student_scores[s], teacher_scores[t], inputs.rows)
        ),
    )


def learned_mix(inputs: MethodInputs) -> Terms:
    """A student block imitates a mix of the teacher blocks with trained weights, one softmax for
    each student block and the same for every token: squared error, mean over valid tokens, width
    and blocks. The mix is that of Peters et al. (2018, arXiv 1802.05365, equation 1)."""
    shares_ST = torch.softmax(MIX_SCALE * inputs.weights["mix"], -1)
    losses = []
    for shares_T, (s, targets) in zip(shares_ST, inputs.targets.items(), strict=True):
        mixed_ND = sum(
            share * inputs.teacher[t].float() for share, t in zip(shares_T, targets, strict=True)
        )
        assert isinstance(mixed_ND, Tensor)
        losses.append(
            hidden.mse(inputs.student[s], mixed_ND, inputs.rows.tokens, inputs.rows.examples)
        )
    return (torch.stack(losses).mean(),)


def _attention(inputs: MethodInputs, vectors: Mapping[int, Tensor], block: int) -> Tensor:
    return scores(vectors[QUERY + block], vectors[KEY + block], inputs.heads, inputs.rows)


def _relation(inputs: MethodInputs, kind: int, s: int, t: int, heads: int) -> Tensor:
    student, teacher = inputs.student[kind + s], inputs.teacher[kind + t]
    return relation_kl(
        scores(student, student, heads, inputs.rows),
        scores(teacher, teacher, heads, inputs.rows),
        inputs.rows,
    )


def _transported(inputs: MethodInputs, cost: Callable[[int, int], Tensor]) -> Tensor:
    """The cost of each example's cheapest transport between all blocks. `cost` returns the costs
    x_B of a student and a teacher block; only pairs with a positive flow have gradients."""
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


def _rail_weights(layer_map: LayerMap, student: int, teacher: int) -> dict[str, tuple[int, int]]:
    blocks = sum(b is not None for b in layer_map.blocks)
    return {"student": (RAIL_WIDTH, blocks * student), "teacher": (RAIL_WIDTH, blocks * teacher)}


def _mix_weights(layer_map: LayerMap, student: int, teacher: int) -> dict[str, tuple[int, int]]:
    teacher_blocks = {t for s, t in layer_map.pairs() if s}
    return {"mix": (len(layer_map.blocks), len(teacher_blocks))}


@dataclass(frozen=True)
class Method:
    """`terms` names the values that `loss` returns; their sum is the hidden loss."""

    loss: Callable[[MethodInputs], Terms]
    terms: tuple[str, ...]
    projects: bool = True
    """Whether trained projections map student states to the width of the teacher."""
    weights: Callable[[LayerMap, int, int], dict[str, tuple[int, int]]] | None = None
    """Shapes of the trained weights of the loss, from the map and both widths."""


METHODS: Mapping[str, Method] = {
    "pkd": Method(pkd, ("states",)),
    "tinybert": Method(tinybert, ("states", "attention")),
    "minilm": Method(minilm, ("attention", "values"), projects=False),
    "minilm_v2": Method(minilm_v2, ("queries", "keys", "values"), projects=False),
    "rail_kd": Method(rail_kd, ("states",), projects=False, weights=_rail_weights),
    "alp_kd": Method(alp_kd, ("states",)),
    "bert_emd": Method(bert_emd, ("embedding", "states", "attention")),
    "learned_mix": Method(learned_mix, ("states",), weights=_mix_weights),
}


def flows(costs_BST: np.ndarray) -> np.ndarray:
    """Flow from each student block to each teacher block for each example, [B, S, T]: the cheapest
    transport in which every student block gives 1 / S and every teacher block receives 1 / T.

    An optimal transport exists in multiples of 1 / lcm(S, T). It is therefore an assignment between
    blocks that are divided into these parts, which scipy solves exactly.
    """
    _, S, T = costs_BST.shape
    parts = math.lcm(S, T)
    student, teacher = np.repeat(np.arange(S), parts // S), np.repeat(np.arange(T), parts // T)
    flows_BST = np.zeros_like(costs_BST)
    for costs_ST, flow_ST in zip(costs_BST, flows_BST, strict=True):
        rows, columns = linear_sum_assignment(costs_ST[np.ix_(student, teacher)])
        np.add.at(flow_ST, (student[rows], teacher[columns]), 1 / parts)
    return flows_BST
