"""Hidden losses of published methods, which look at more than one state of one block at a time.

Each is a pure function of what was read of both models over a shard. Sums over blocks, examples or
tokens in the papers are means here, so that one `losses.hidden` serves every depth and batch, and
every function returns this shard's share of the global batch's mean, as those of hidden.py do.

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

RAIL_WIDTH = 128  # of the space in which RAIL-KD compares; the paper leaves it free
# Adam moves a parameter by about the learning rate a step, whatever the gradient: at 1e-4 the
# shares of `learned_mix` would stay where they began for ten thousand steps.
MIX_SCALE = 100.0


@dataclass(frozen=True)
class MethodInputs:
    """What was read of both models over a shard: vectors x_ND by the numbers of
    maps/activations.py, student states in the teacher's width where the loss asks for that."""

    pairs: tuple[tuple[int, int], ...]
    student: Mapping[int, Tensor]
    teacher: Mapping[int, Tensor]
    rows: Rows
    heads: int
    """Of both models' attention; MiniLMv2 has heads of its own."""
    weights: Mapping[str, Tensor]
    """The loss's own trained weights."""

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """The pairs without the embedding outputs'."""
        return tuple((s, t) for s, t in self.pairs if s)

    @property
    def targets(self) -> dict[int, list[int]]:
        """Of each matched student block, its teacher blocks."""
        found: dict[int, list[int]] = {}
        for s, t in self.blocks:
            found.setdefault(s, []).append(t)
        return found

    def share(self, x_B: Tensor) -> Tensor:
        """A shard's share of the mean over the global batch's examples."""
        return x_B.sum() / self.rows.examples


Terms = tuple[Tensor, ...]


def pkd(seen: MethodInputs) -> Terms:
    """|| s / |s| - t / |t| ||^2 of the first token ([CLS]), mean over examples and blocks (Sun et
    al. 2019, arXiv 1908.09355, equation 7). The released code divides by the width too."""
    each = []
    for s, t in seen.pairs:
        student, teacher = (
            F.normalize(seen.rows.first(x).float(), dim=-1)
            for x in (seen.student[s], seen.teacher[t])
        )
        each.append(seen.share((student - teacher).square().sum(-1)))
    return (torch.stack(each).mean(),)


def tinybert(seen: MethodInputs) -> Terms:
    """Squared error of states, mean over valid tokens and width, and of attention scores before
    their softmax, mean over an example's pairs of tokens and heads; each mean over blocks (Jiao et
    al. 2020, arXiv 1909.10351, equations 7 to 9). Projections are a block's own; the released code
    has one for all."""
    tokens, examples = seen.rows.tokens, seen.rows.examples
    states = [hidden.mse(seen.student[s], seen.teacher[t], tokens, examples) for s, t in seen.pairs]
    attention = [
        seen.share(score_mse(_attention(seen, seen.student, s), _attention(seen, seen.teacher, t),
                             seen.rows))
        for s, t in seen.blocks
    ]  # fmt: skip
    return torch.stack(states).mean(), torch.stack(attention).mean()


def minilm(seen: MethodInputs) -> Terms:
    """KL(teacher || student) of the attention distributions and of the value relations, softmax of
    v v^T / sqrt(d) head by head (Wang et al. 2020, arXiv 2002.10957, equations 5 to 9)."""
    attention, values = [], []
    for s, t in seen.blocks:
        own, told = _attention(seen, seen.student, s), _attention(seen, seen.teacher, t)
        attention.append(relation_kl(own, told, seen.rows))
        values.append(_relation(seen, VALUE, s, t, seen.heads))
    return torch.stack(attention).mean(), torch.stack(values).mean()


def minilm_v2(seen: MethodInputs) -> Terms:
    """KL(teacher || student) of the relations of queries, of keys and of values with themselves,
    all heads joined and split anew into relation heads, so that widths and heads may differ (Wang
    et al. 2021, arXiv 2012.15828, equations 5 to 8)."""
    found: list[list[Tensor]] = [[], [], []]
    for s, t in seen.blocks:
        for terms, of in zip(found, (QUERY, KEY, VALUE), strict=True):
            heads = relation_heads(seen.student[of + s].shape[1], seen.teacher[of + t].shape[1])
            terms.append(_relation(seen, of, s, t, heads))
    return tuple(torch.stack(terms).mean() for terms in found)


def rail_kd(seen: MethodInputs) -> Terms:
    """States averaged over an example's tokens, joined over the epoch's blocks, projected by one
    trained matrix a model, set to length one: squared distance, mean over examples (RAIL-KD^c,
    Haidar et al. 2022, arXiv 2109.10164, section 3)."""
    joined = (
        torch.cat([seen.rows.mean(of[k].float()) for k in blocks], -1)
        for of, blocks in ((seen.student, [s for s, _ in seen.blocks]),
                           (seen.teacher, [t for _, t in seen.blocks]))
    )  # fmt: skip
    student, teacher = (
        F.normalize(x_BK @ seen.weights[whose].T, dim=-1)
        for x_BK, whose in zip(joined, ("student", "teacher"), strict=True)
    )
    return (seen.share((student - teacher).square().sum(-1)),)


def alp_kd(seen: MethodInputs) -> Terms:
    """The first token ([CLS]) of a student block imitates the mix of the teacher blocks' by the
    softmax of their dot products with it: squared error, mean over width, examples and blocks
    (Passban et al. 2021, arXiv 2012.14022). The student learns through the shares as well."""
    first = {t: seen.rows.first(seen.teacher[t]).float() for _, t in seen.blocks}
    each = []
    for s, targets in seen.targets.items():
        own_BD = seen.rows.first(seen.student[s]).float()
        told_BTD = torch.stack([first[t] for t in targets], 1)
        shares_BT = torch.softmax((told_BTD @ own_BD[:, :, None])[:, :, 0], -1)
        mixed_BD = (shares_BT[:, None] @ told_BTD)[:, 0]
        each.append(seen.share((own_BD - mixed_BD).square().mean(-1)))
    return (torch.stack(each).mean(),)


def bert_emd(seen: MethodInputs) -> Terms:
    """Squared errors of embedding outputs, of states and of attention scores; for the latter two of
    every student block with every teacher block, weighted by the cheapest transport between them
    (Li et al. 2020, arXiv 2010.06133, section 3).

    The transport is found for each example, in the paper for each batch: so it depends neither on
    the batch nor on how it is split over workers. All blocks weigh alike; the paper's reweighting
    of blocks by their last costs ("cost attention") is left out.
    """
    tokens, examples = seen.rows.tokens, seen.rows.examples
    embedding = [
        hidden.mse(seen.student[s], seen.teacher[t], tokens, examples)
        for s, t in seen.pairs
        if not s
    ]
    own = {s: _attention(seen, seen.student, s) for s in seen.targets}
    told = {t: _attention(seen, seen.teacher, t) for _, t in seen.blocks}

    def states(s: int, t: int) -> Tensor:
        squared_ND = (seen.student[s].float() - seen.teacher[t].float()).square()
        return seen.rows.mean(squared_ND.mean(-1, keepdim=True))[:, 0]

    return (
        embedding[0] if embedding else seen.rows.mask_BT.new_zeros((), dtype=torch.float32),
        _transported(seen, states),
        _transported(seen, lambda s, t: score_mse(own[s], told[t], seen.rows)),
    )


def learned_mix(seen: MethodInputs) -> Terms:
    """A student block imitates a mix of the teacher blocks in shares that are trained, one softmax
    a student block, the same for every token: squared error, mean over valid tokens, width and
    blocks. The mix is that of Peters et al. (2018, arXiv 1802.05365, equation 1)."""
    shares_ST = torch.softmax(MIX_SCALE * seen.weights["mix"], -1)
    each = []
    for shares_T, (s, targets) in zip(shares_ST, seen.targets.items(), strict=True):
        mixed_ND = sum(
            share * seen.teacher[t].float() for share, t in zip(shares_T, targets, strict=True)
        )
        assert isinstance(mixed_ND, Tensor)
        each.append(hidden.mse(seen.student[s], mixed_ND, seen.rows.tokens, seen.rows.examples))
    return (torch.stack(each).mean(),)


def _attention(seen: MethodInputs, of: Mapping[int, Tensor], block: int) -> Tensor:
    return scores(of[QUERY + block], of[KEY + block], seen.heads, seen.rows)


def _relation(seen: MethodInputs, of: int, s: int, t: int, heads: int) -> Tensor:
    own, told = seen.student[of + s], seen.teacher[of + t]
    return relation_kl(
        scores(own, own, heads, seen.rows), scores(told, told, heads, seen.rows), seen.rows
    )


def _transported(seen: MethodInputs, cost: Callable[[int, int], Tensor]) -> Tensor:
    """Each example's cheapest transport between all blocks, and what it costs. `cost` is of a
    student and a teacher block, x_B; only pairs between which something moves are learned from."""
    table = seen.targets
    with torch.no_grad():
        costs = torch.stack(
            [torch.stack([cost(s, t) for t in ts], 1) for s, ts in table.items()], 1
        )
    flow = flows(costs.double().cpu().numpy())
    used = flow.max(0) > 0  # on the host: asked of a GPU, each pair would be waited for
    flow_BST = torch.from_numpy(flow).to(costs)
    return seen.share(
        torch.stack(
            [
                flow_BST[:, i, j] * cost(s, t)
                for i, (s, ts) in enumerate(table.items())
                for j, t in enumerate(ts)
                if used[i, j]
            ]
        ).sum(0)
    )


def _rail_weights(layer_map: LayerMap, student: int, teacher: int) -> dict[str, tuple[int, int]]:
    blocks = sum(b is not None for b in layer_map.blocks)
    return {"student": (RAIL_WIDTH, blocks * student), "teacher": (RAIL_WIDTH, blocks * teacher)}


def _mix_weights(layer_map: LayerMap, student: int, teacher: int) -> dict[str, tuple[int, int]]:
    named = {t for s, t in layer_map.pairs() if s}
    return {"mix": (len(layer_map.blocks), len(named))}


@dataclass(frozen=True)
class Method:
    """`terms` names what `loss` returns, the sum of which is the hidden loss."""

    loss: Callable[[MethodInputs], Terms]
    terms: tuple[str, ...]
    projects: bool = True
    """Whether student states come in the teacher's width, by trained projections."""
    weights: Callable[[LayerMap, int, int], dict[str, tuple[int, int]]] | None = None
    """Shapes of its own trained weights, from the map and both widths."""


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
    """For each example, how much of each teacher block goes to each student block, [B, S, T]:
    the cheapest way in which every student block gives 1 / S and every teacher block takes 1 / T.

    Such a transport has a best solution in whole parts of 1 / lcm(S, T), so it is an assignment
    between blocks that are cut into these parts, which scipy solves exactly.
    """
    _, S, T = costs_BST.shape
    parts = math.lcm(S, T)
    student, teacher = np.repeat(np.arange(S), parts // S), np.repeat(np.arange(T), parts // T)
    found = np.zeros_like(costs_BST)
    for costs_ST, flow_ST in zip(costs_BST, found, strict=True):
        rows, columns = linear_sum_assignment(costs_ST[np.ix_(student, teacher)])
        np.add.at(flow_ST, (student[rows], teacher[columns]), 1 / parts)
    return found
