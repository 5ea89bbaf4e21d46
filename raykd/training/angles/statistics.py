"""The angle between every two teacher blocks with the student's state as vertex, as streaming
statistics over valid tokens: their memory does not grow with the number of tokens.

Shapes: N tokens, L teacher blocks, D width, P = L(L - 1)/2 pairs of blocks, E examples. All five
views of a pair come from Gram matrices, one per token, of difference vectors d_k = T_k - S:
cos = d_i.d_j / |d_i||d_j|.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from raykd.losses.hidden.registry import hidden_loss
from raykd.training.angles.values import (
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

NEAR = 1e-5  # relative to a teacher state's norm: a smaller difference has no reliable direction
OCTAVES, STEPS = 4, 16  # the ratio of Thales is binned from 2^-4 to 2^4, 16 bins an octave
CHUNK = 512  # tokens whose L x D differences are in memory at once


class Tally:
    """Running sums of one view of one student block, for every pair of teacher blocks."""

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
        """Add difference vectors of whole examples, of `lengths` tokens each. Where `near_NL` is
        true, the difference has no direction, and that block's pairs do not count the token."""
        gram = d_NLD @ d_NLD.transpose(1, 2)
        square_NL = gram.diagonal(dim1=1, dim2=2)
        directed_NL = ~near_NL & (square_NL > 0)
        a_NP, b_NP = square_NL[:, self.first], square_NL[:, self.second]
        product_NP = gram[:, self.first, self.second]
        counted = directed_NL[:, self.first] & directed_NL[:, self.second]
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
        position = (ratio.clamp_min(1e-30).log2() + OCTAVES) * STEPS
        _count(sums["ratios"], position.floor().long(), counted)
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


def _count(histograms: Tensor, bins_NP: Tensor, counted: Tensor) -> None:
    """Add one to each pair's bin per counted token; values out of range go to the end bins."""
    pair_count, size = histograms.shape
    offsets_P = size * torch.arange(pair_count, device=histograms.device)
    flat_NP = bins_NP.clamp(0, size - 1) + offsets_P
    counts = torch.bincount(flat_NP[counted], minlength=pair_count * size)
    histograms += counts.view(pair_count, size)


def _median(counts: np.ndarray) -> float:
    """Return the median ratio, interpolated within its bin; 1 without a token."""
    total = np.cumsum(counts)
    if not total[-1]:
        return 1.0
    target = total[-1] / 2
    bin_index = int(np.searchsorted(total, target))
    inside = (target - (total[bin_index] - counts[bin_index])) / counts[bin_index]
    return float(2 ** ((bin_index + inside) / STEPS - OCTAVES))


class Angles:
    """All views of one student block. `gap_LD`: each teacher block's mean state over the tokens
    minus the student's, which centring subtracts; `kind`: the hidden loss in use."""

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
        """Add a batch: the states of the student, an untrained student, the teacher, and the
        teacher at other tokens; in row-major order, example by example."""
        for tokens, example_lengths in chunks(lengths):
            s, u, t, other = s_ND[tokens], u_ND[tokens], t_NLD[tokens], shuffled_NLD[tokens]
            lengths_E = torch.tensor(example_lengths, device=s.device)
            d = t - s[:, None]
            near = _near(d, t)
            self.tallies["raw"].add(d, near, lengths_E)
            self.tallies["centred"].add(d - self.gap_LD, near, lengths_E)
            self.tallies["gradient"].add(gradients(self.kind, s, t), near, lengths_E)
            shuffled = other - at_distance(s, t, s, other)[:, None]
            self.tallies["shuffled"].add(shuffled, _near(shuffled, other), lengths_E)
            untrained = t - at_distance(s, t, u, t)[:, None]
            self.tallies["untrained"].add(untrained, _near(untrained, t), lengths_E)

    def block(self) -> Block:
        histograms = {
            v: _integers(tally.sums["histogram"].sum(0)) for v, tally in self.tallies.items()
        }
        pair_values = (
            self._pair(index, *blocks) for index, blocks in enumerate(pairs(len(self.gap_LD)))
        )
        return Block(self.student, tuple(pair_values), histograms)

    def _pair(self, index: int, first: int, second: int) -> Pair:
        views = {view: tally.view(index) for view, tally in self.tallies.items()}
        raw, centred = self.tallies["raw"], self.tallies["centred"]
        return Pair(
            first,
            second,
            raw=views["raw"],
            centred=views["centred"],
            gradient=views["gradient"],
            shuffled=views["shuffled"],
            untrained=views["untrained"],
            thales=raw.thales(index),
            histogram=_integers(raw.sums["histogram"][index]),
            centred_histogram=_integers(centred.sums["histogram"][index]),
        )


def merged(parts: Sequence[Angles]) -> Angles:
    """Merge the statistics of several workers for one student block, in place into the first."""
    first, *others = parts
    for other in others:
        for view, tally in first.tallies.items():
            tally.examples += other.tallies[view].examples
            for name, total in tally.sums.items():
                total += other.tallies[view].sums[name].to(total.device)
    return first


def _integers(counts: Tensor) -> tuple[int, ...]:
    return tuple(int(c) for c in counts.tolist())


def _near(d_NLD: Tensor, t_NLD: Tensor) -> Tensor:
    near: Tensor = d_NLD.norm(dim=-1) <= NEAR * t_NLD.norm(dim=-1)
    return near


def chunks(lengths: Sequence[int]) -> Iterator[tuple[slice, list[int]]]:
    """Yield groups of whole examples of about CHUNK tokens: their token slice and their lengths."""
    start, end, sizes = 0, 0, list[int]()
    for length in lengths:
        if sizes and end + length - start > CHUNK:
            yield slice(start, end), sizes
            start, sizes = end, []
        sizes.append(length)
        end += length
    if sizes:
        yield slice(start, end), sizes


def at_distance(s_ND: Tensor, t_NLD: Tensor, u_ND: Tensor, other_NLD: Tensor) -> Tensor:
    """Return u, moved as close to the teacher states `other` as the student s is to its own, t.

    Each token moves along the line from the centroid of `other` through u. Distances are relative
    to the spread of the states around their centroid. If `other` is t itself, the sum of squared
    distances to the states equals that of s exactly: it is L |x - centroid|^2 plus a term that does
    not depend on x. (Scaling u itself could not come closer than its projection.)
    """
    t_centre, other_centre = t_NLD.mean(1), other_NLD.mean(1)
    spread, other_spread = _spread(t_NLD, t_centre), _spread(other_NLD, other_centre)
    direction = u_ND - other_centre
    distance = (s_ND - t_centre).norm(dim=-1) * other_spread / spread.clamp_min(1e-30)
    moved: Tensor = (
        other_centre + (distance / direction.norm(dim=-1).clamp_min(1e-30))[:, None] * direction
    )
    return moved


def _spread(t_NLD: Tensor, centre_ND: Tensor) -> Tensor:
    spread: Tensor = (t_NLD - centre_ND[:, None]).square().sum((1, 2)).sqrt()
    return spread


def gradients(kind: str, s_ND: Tensor, t_NLD: Tensor) -> Tensor:
    """Return each token's gradient of the hidden loss for each teacher block, at the student's
    state, as x_NLD; computed by autograd through the training loss."""
    N, L, D = t_NLD.shape
    with torch.enable_grad():
        state = s_ND[:, None].expand(N, L, D).detach().reshape(N * L, D).requires_grad_(True)
        loss = hidden_loss(kind).with_options(None)(state, t_NLD.reshape(N * L, D), 1, 1)
        (gradient,) = torch.autograd.grad(loss, state)
    gradient_NLD: Tensor = gradient.reshape(N, L, D)
    return gradient_NLD
