"""The angle between every two teacher blocks with the student's state as vertex, as streaming
statistics over valid tokens: what is kept does not grow with the tokens.

Shapes: N tokens, L teacher blocks, D width, P = L(L - 1)/2 pairs of blocks, E examples. All five
views of a pair come from Gram matrices of difference vectors d_k = T_k - S, one a token:
cos = d_i.d_j / |d_i||d_j|.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from raykd.losses.hidden.registry import hidden_loss
from raykd.training.angle_values import (
    BINS,
    RATIOS,
    VIEWS,
    Block,
    Pair,
    Thales,
    View,
    clustered,
    effective_size,
    pairs,
)

NEAR = 1e-5  # of a teacher state's length: a student so near to it sees it in no direction
OCTAVES, STEPS = 4, 16  # the ratio of Thales is binned from 2^-4 to 2^4, 16 bins an octave
CHUNK = 512  # tokens whose L x D differences are in memory at a time


class Tally:
    """One view from one student block: running sums for every pair of teacher blocks."""

    def __init__(self, blocks: int, device: torch.device) -> None:
        self.first, self.second = torch.triu_indices(blocks, blocks, 1, device=device)
        self.examples = 0
        size = len(self.first)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(size, *shape, dtype=torch.float64, device=device)

        self.sums = {
            **{name: zeros() for name in ("count", "acute", "cosine")},
            **{name: zeros() for name in ("acute_squared", "products", "squared")},
            "histogram": zeros(BINS),
            "ratios": zeros(2 * OCTAVES * STEPS),
            "above": zeros(len(RATIOS)),
        }

    def add(self, d_NLD: Tensor, near_NL: Tensor, lengths: Tensor) -> None:
        """Difference vectors of whole examples, of `lengths` tokens each; where `near_NL`, the
        difference has no direction, and the token is left out of that block's pairs."""
        gram = d_NLD @ d_NLD.transpose(1, 2)
        square_NL = gram.diagonal(dim1=1, dim2=2)
        far_NL = ~near_NL & (square_NL > 0)
        a_NP, b_NP = square_NL[:, self.first], square_NL[:, self.second]
        product_NP = gram[:, self.first, self.second]
        counted = far_NL[:, self.first] & far_NL[:, self.second]
        cosine = (product_NP / (a_NP * b_NP).sqrt().clamp_min(1e-30)).clamp(-1, 1)
        acute = counted & (product_NP > 0)

        sums, weight = self.sums, counted.double()
        sums["count"] += weight.sum(0)
        sums["acute"] += acute.sum(0)
        sums["cosine"] += (cosine.double() * weight).sum(0)
        self._add_clusters(acute, counted, lengths)
        _count(sums["histogram"], ((cosine + 1) * (BINS / 2)).long(), counted)

        # |S - (Ti + Tj) / 2| and |Ti - Tj| / 2 by the same Gram matrix: |d_i +- d_j| / 2.
        total, double = a_NP + b_NP, 2 * product_NP
        ratio = ((total + double).clamp_min(0) / (total - double).clamp_min(1e-30)).sqrt()
        place = (ratio.clamp_min(1e-30).log2() + OCTAVES) * STEPS
        _count(sums["ratios"], place.floor().long(), counted)
        for column, bound in enumerate(RATIOS):
            sums["above"][:, column] += (counted & (ratio > bound)).sum(0)

    def _add_clusters(self, acute: Tensor, counted: Tensor, lengths: Tensor) -> None:
        example_N = torch.repeat_interleave(lengths)
        empty = torch.zeros(len(lengths), len(self.first), dtype=torch.float64, device=acute.device)
        a_EP = empty.index_add(0, example_N, acute.double())
        n_EP = empty.index_add(0, example_N, counted.double())
        self.sums["acute_squared"] += (a_EP * a_EP).sum(0)
        self.sums["products"] += (a_EP * n_EP).sum(0)
        self.sums["squared"] += (n_EP * n_EP).sum(0)
        self.examples += len(lengths)

    def view(self, pair: int) -> View:
        sums = {k: float(v[pair]) for k, v in self.sums.items() if v.ndim == 1}
        count, acute = sums["count"], sums["acute"]
        size = effective_size(
            count, acute, sums["acute_squared"], sums["products"], sums["squared"], self.examples
        )
        share = acute / count if count else 0.5
        return View(
            tokens=int(count),
            share_acute=share,
            interval=clustered(share, size if count else 0.0, self.examples),
            effective=size if count else 0.0,
            cosine=sums["cosine"] / count if count else 0.0,
        )

    def thales(self, pair: int) -> Thales:
        count = float(self.sums["count"][pair])
        above = (self.sums["above"][pair] / max(count, 1.0)).tolist()
        return Thales(_median(self.sums["ratios"][pair].cpu().numpy()), tuple(above))


def _count(into: Tensor, bins_NP: Tensor, counted: Tensor) -> None:
    """Add one to each pair's bin for each counted token; beyond the ends, to the last bin."""
    pairs_, size = into.shape
    place = bins_NP.clamp(0, size - 1) + size * torch.arange(pairs_, device=into.device)
    into += torch.bincount(place[counted], minlength=pairs_ * size).view(pairs_, size)


def _median(counts: np.ndarray) -> float:
    """Of the ratio, to within its bin; 1 without a token."""
    total = np.cumsum(counts)
    if not total[-1]:
        return 1.0
    half = total[-1] / 2
    place = int(np.searchsorted(total, half))
    inside = (half - (total[place] - counts[place])) / counts[place]
    return float(2 ** ((place + inside) / STEPS - OCTAVES))


class Angles:
    """All views from one student block. `gap_LD`: each teacher block's mean state over the tokens
    minus the student's, which centring takes off; `kind`: the hidden loss in use."""

    def __init__(self, student: int, kind: str, gap_LD: Tensor) -> None:
        self.student, self.kind, self.gap_LD = student, kind, gap_LD
        self.tallies = {view: Tally(len(gap_LD), gap_LD.device) for view in VIEWS}

    def add(
        self,
        s_ND: Tensor,
        u_ND: Tensor,
        t_NLD: Tensor,
        shuffled_NLD: Tensor,
        lengths: Sequence[int],
    ) -> None:
        """A batch: the student's states, an untrained student's, the teacher's, and the teacher's
        of other tokens; in row-major order, example by example."""
        for tokens, some in chunks(lengths):
            s, u, t, other = s_ND[tokens], u_ND[tokens], t_NLD[tokens], shuffled_NLD[tokens]
            sizes = torch.tensor(some, device=s.device)
            d = t - s[:, None]
            near = _near(d, t)
            self.tallies["raw"].add(d, near, sizes)
            self.tallies["centred"].add(d - self.gap_LD, near, sizes)
            self.tallies["gradient"].add(gradients(self.kind, s, t), near, sizes)
            strange = other - at_distance(s, t, s, other)[:, None]
            self.tallies["shuffled"].add(strange, _near(strange, other), sizes)
            null = t - at_distance(s, t, u, t)[:, None]
            self.tallies["untrained"].add(null, _near(null, t), sizes)

    def block(self) -> Block:
        whole = {v: _whole(tally.sums["histogram"].sum(0)) for v, tally in self.tallies.items()}
        found = (self._pair(p, *named) for p, named in enumerate(pairs(len(self.gap_LD))))
        return Block(self.student, tuple(found), whole)

    def _pair(self, place: int, first: int, second: int) -> Pair:
        seen = {view: tally.view(place) for view, tally in self.tallies.items()}
        raw, centred = self.tallies["raw"], self.tallies["centred"]
        return Pair(
            first,
            second,
            raw=seen["raw"],
            centred=seen["centred"],
            gradient=seen["gradient"],
            shuffled=seen["shuffled"],
            untrained=seen["untrained"],
            thales=raw.thales(place),
            histogram=_whole(raw.sums["histogram"][place]),
            centred_histogram=_whole(centred.sums["histogram"][place]),
        )


def merged(parts: Sequence[Angles]) -> Angles:
    """What several workers saw of one student block, together: the first one, added to."""
    whole, *others = parts
    for other in others:
        for view, tally in whole.tallies.items():
            tally.examples += other.tallies[view].examples
            for name, total in tally.sums.items():
                total += other.tallies[view].sums[name].to(total.device)
    return whole


def _whole(counts: Tensor) -> tuple[int, ...]:
    return tuple(int(c) for c in counts.tolist())


def _near(d_NLD: Tensor, t_NLD: Tensor) -> Tensor:
    near: Tensor = d_NLD.norm(dim=-1) <= NEAR * t_NLD.norm(dim=-1)
    return near


def chunks(lengths: Sequence[int]) -> Iterator[tuple[slice, list[int]]]:
    """Whole examples of about CHUNK tokens together: their tokens, and each one's length."""
    start, end, some = 0, 0, list[int]()
    for length in lengths:
        if some and end + length - start > CHUNK:
            yield slice(start, end), some
            start, some = end, []
        some.append(length)
        end += length
    if some:
        yield slice(start, end), some


def at_distance(s_ND: Tensor, t_NLD: Tensor, u_ND: Tensor, other_NLD: Tensor) -> Tensor:
    """u, brought as near to some teacher states `other` as the student s is to its own, t.

    Token by token, along the line from the centroid of `other` through u. Distances are measured
    in the spread of the states around their centroid; where `other` is t itself, the sum of squared
    distances to them is that of s exactly: it is L |x - centroid|^2 plus what the student has no
    part in. (Scaling u itself could not come nearer than its projection.)
    """
    own, centre = t_NLD.mean(1), other_NLD.mean(1)
    spread, wanted = _spread(t_NLD, own), _spread(other_NLD, centre)
    away = u_ND - centre
    far = (s_ND - own).norm(dim=-1) * wanted / spread.clamp_min(1e-30)
    moved: Tensor = centre + (far / away.norm(dim=-1).clamp_min(1e-30))[:, None] * away
    return moved


def _spread(t_NLD: Tensor, centre_ND: Tensor) -> Tensor:
    spread: Tensor = (t_NLD - centre_ND[:, None]).square().sum((1, 2)).sqrt()
    return spread


def gradients(kind: str, s_ND: Tensor, t_NLD: Tensor) -> Tensor:
    """Each token's gradient of the hidden loss towards each teacher block, at the student's state,
    as x_NLD; by autograd through the loss that trains."""
    N, L, D = t_NLD.shape
    with torch.enable_grad():
        state = s_ND[:, None].expand(N, L, D).detach().reshape(N * L, D).requires_grad_(True)
        loss = hidden_loss(kind).function(state, t_NLD.reshape(N * L, D), 1, 1)
        (gradient,) = torch.autograd.grad(loss, state)
    found: Tensor = gradient.reshape(N, L, D)
    return found
