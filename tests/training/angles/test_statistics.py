"""The geometry by hand, streaming against brute force, intervals against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from raykd.losses.hidden.registry import hidden_loss, hidden_losses
from raykd.training.angles.statistics import Angles, at_distance, chunks, gradients, merged
from raykd.training.angles.values import (
    BINS,
    RATIOS,
    Block,
    Measured,
    Pair,
    effective_size,
    pairs,
    random_histogram,
    wilson,
)


def states(
    lengths: list[int], blocks: int = 4, width: int = 6, seed: int = 0
) -> tuple[Tensor, ...]:
    """A student's, an untrained student's, a teacher's and other tokens' states."""
    draw = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    s = torch.randn(n, width, generator=draw)
    u = torch.randn(n, width, generator=draw) + 2
    t = torch.randn(n, blocks, width, generator=draw) + 0.7
    return s, u, t, t[torch.randperm(n, generator=draw)]


def gap(s: Tensor, t: Tensor) -> Tensor:
    return t.mean(0) - s.mean(0)


def look(lengths: list[int], kind: str = "normalized_mse", **options: int) -> Block:
    s, u, t, other = states(lengths, **options)
    angles = Angles(1, kind, gap(s, t))
    angles.add(s, u, t, other, lengths)
    return angles.block()


def by_hand(s: list[float], first: list[float], second: list[float]) -> Pair:
    """One token."""
    t = torch.tensor([[first, second]], dtype=torch.float32)
    angles = Angles(1, "mse", torch.zeros(2, len(s)))
    own = torch.tensor([s], dtype=torch.float32)
    angles.add(own, own, t, t, [1])
    return angles.block().pairs[0]


# Geometry


@pytest.mark.parametrize(
    ("s", "first", "second", "cosine", "ratio"),
    [
        ([0, 0], [1, 0], [1, 1], math.sqrt(0.5), math.sqrt(5)),  # 45 degrees
        ([0, 0], [2, 0], [0, 3], 0.0, 1.0),  # right: S is on Thales' circle
        ([0, 0], [1, 0], [-1, 1], -math.sqrt(0.5), 1 / math.sqrt(5)),  # 135 degrees
        ([1, 1], [3, 1], [2, 1 + math.sqrt(3)], 0.5, math.sqrt(3)),  # equilateral
        ([0, 0], [1, 0], [-2, 0], -1.0, 1 / 3),  # S between them
    ],
)
def test_triangles(
    s: list[float], first: list[float], second: list[float], cosine: float, ratio: float
) -> None:
    found = by_hand(s, first, second)
    assert found.raw.cosine == pytest.approx(cosine, abs=1e-6)
    assert found.raw.share_acute == (cosine > 0)
    assert found.histogram[min(BINS - 1, math.floor((found.raw.cosine + 1) * BINS / 2))] == 1
    assert found.thales.median == pytest.approx(ratio, rel=0.05)  # a bin is 1/16 octave
    assert found.thales.above == tuple(float(ratio > bound) for bound in RATIOS)
    assert found.gradient.cosine == pytest.approx(cosine, abs=1e-6)  # of plain MSE: the angle


def test_a_student_on_a_teachers_state_sees_it_in_no_direction() -> None:
    found = by_hand([1, 2], [1, 2], [3, 4])
    assert found.raw.tokens == 0 and found.raw.interval == (0.0, 1.0)
    assert sum(found.histogram) == 0


@given(seed=st.integers(0, 10_000), spread=st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_acute_is_outside_the_ball_of_thales(seed: int, spread: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    s, first, second = (torch.randn(3, generator=draw) * f for f in (spread, 1.0, 1.0))
    found = by_hand(s.tolist(), first.tolist(), second.tolist())
    middle = (first + second) / 2
    ratio = float((s - middle).norm() / ((first - second).norm() / 2))
    assert (found.raw.share_acute == 1) == (ratio > 1)
    assert found.thales.median == pytest.approx(min(max(ratio, 2**-4), 2**4), rel=0.05)


# Streaming


def brute(d_i: Tensor, d_j: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(d_i, d_j, dim=-1)


def test_streaming_equals_brute_force() -> None:
    lengths = [3, 700, 20, 1, 600]  # chunks break between examples, and one is longer than a chunk
    s, u, t, other = states(lengths)
    block, centre = look(lengths), gap(s, t)
    d, null = t - s[:, None], t - at_distance(s, t, u, t)[:, None]
    strange = other - at_distance(s, t, s, other)[:, None]
    seen = {
        "raw": d,
        "centred": d - centre,
        "gradient": gradients("normalized_mse", s, t),
        "shuffled": strange,
        "untrained": null,
    }
    for pair, (i, j) in zip(block.pairs, pairs(4), strict=True):
        assert (pair.first, pair.second) == (i, j)
        for view, vectors in seen.items():
            cosine = brute(vectors[:, i - 1], vectors[:, j - 1])
            found = getattr(pair, view)
            assert found.tokens == sum(lengths)
            assert found.share_acute == pytest.approx(float((cosine > 0).double().mean()), abs=2e-3)
            assert found.cosine == pytest.approx(float(cosine.mean()), abs=1e-5)
        cosine = brute(d[:, i - 1], d[:, j - 1])
        counts = np.histogram(cosine.numpy(), bins=BINS, range=(-1, 1))[0]
        assert np.abs(counts - np.array(pair.histogram)).sum() <= 4  # rounding at a bin's edge
        middle = (t[:, i - 1] + t[:, j - 1]) / 2
        ratio = (s - middle).norm(dim=1) / ((t[:, i - 1] - t[:, j - 1]).norm(dim=1) / 2)
        assert pair.thales.median == pytest.approx(float(ratio.median()), rel=0.01)
        assert pair.thales.above[0] == pytest.approx(float((ratio > 1.5).double().mean()), abs=2e-3)
    assert sum(block.histograms["raw"]) == 6 * sum(lengths)


def test_the_order_of_the_batches_does_not_matter_nor_who_sees_them() -> None:
    lengths = [5, 9, 2, 30]
    s, u, t, other = states(lengths)
    edges = np.cumsum([0, *lengths])
    parts = [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]

    def seen(order: list[int]) -> Angles:
        angles = Angles(2, "cosine", gap(s, t))
        for k in order:
            p = parts[k]
            angles.add(s[p], u[p], t[p], other[p], [lengths[k]])
        return angles

    whole = seen([0, 1, 2, 3])
    for again in (seen([3, 1, 0, 2]), merged([seen([2, 0]), seen([1, 3])])):
        a, b = flat(whole.block()), flat(again.block())
        assert b == pytest.approx(a, rel=1e-9)


def flat(block: Block) -> list[float]:
    numbers: list[float] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            [walk(v) for v in value.values()]
        elif isinstance(value, list):
            [walk(v) for v in value]
        elif isinstance(value, int | float):
            numbers.append(value)

    walk(Measured(1, "training", 4, 4, 6, "mse", (block,)).to_json())
    return numbers


def test_chunks_are_whole_examples() -> None:
    found = list(chunks([500, 10, 10, 900, 3]))
    assert [some for _, some in found] == [[500, 10], [10], [900], [3]]
    assert [(p.start, p.stop) for p, _ in found] == [
        (0, 510),
        (510, 520),
        (520, 1420),
        (1420, 1423),
    ]


# Gradients of the loss in use


@pytest.mark.parametrize("kind", sorted(n for n, loss in hidden_losses().items() if loss.by_token))
def test_gradients_are_those_of_each_tokens_own_loss(kind: str) -> None:
    s, _, t, _ = states([4])
    found = gradients(kind, s, t)
    for n in range(4):
        for k in range(4):
            state = s[n : n + 1].clone().requires_grad_(True)
            hidden_loss(kind).function(state, t[n : n + 1, k], 1, 1).backward()
            assert torch.allclose(found[n, k], state.grad[0], atol=1e-6)  # type: ignore[index]


def test_with_plain_mse_gradients_agree_just_where_the_angle_is_acute() -> None:
    for pair in look([40, 60], kind="mse").pairs:
        assert pair.gradient.share_acute == pair.raw.share_acute


# Nulls


def test_the_untrained_student_is_as_near_as_the_trained_one() -> None:
    s, u, t, _ = states([50])
    null = at_distance(s, t, u, t)
    mine, theirs = ((t - x[:, None]).square().sum((1, 2)) for x in (s, null))
    assert torch.allclose(mine, theirs, rtol=1e-5)
    assert torch.allclose(at_distance(s, t, s, t), s, atol=1e-5)


def test_to_other_tokens_the_student_is_as_near_as_to_its_own() -> None:
    """In units of the states' spread: with three times the spread, three times the distance."""
    s, _, t, _ = states([50])
    other = 3 * t + 10
    moved = at_distance(s, t, s, other)
    own, strange = ((x - y.mean(1)).norm(dim=1) for x, y in ((s, t), (moved, other)))
    assert torch.allclose(strange, 3 * own, rtol=1e-4)


@pytest.mark.parametrize(("far", "lowest"), [(3.0, 0.3), (100.0, 0.99)])
def test_from_far_away_every_angle_is_acute(far: float, lowest: float) -> None:
    s, u, t, other = states([80], width=32)
    angles = Angles(1, "mse", torch.zeros(4, 32))
    angles.add(s * far, u, t, other, [80])
    for pair in angles.block().pairs:
        assert min(v.cosine for v in (pair.untrained, pair.raw, pair.shuffled)) > lowest
        assert pair.raw.share_acute == 1 and pair.thales.above[0] > 0.9


def test_centring_takes_an_offset_off() -> None:
    """A student far off in one direction sees every angle acute; centred, the offset is gone."""
    s, u, t, other = states([400], width=32)
    shifted = s + 100
    angles = Angles(1, "mse", gap(shifted, t))
    angles.add(shifted, u, t, other, [400])
    near = Angles(1, "mse", gap(s, t))
    near.add(s, u, t, other, [400])
    for pair, same in zip(angles.block().pairs, near.block().pairs, strict=True):
        assert pair.raw.cosine > 0.99
        assert pair.centred.cosine == pytest.approx(same.centred.cosine, abs=1e-4)
        assert pair.centred.cosine < 0.7


def test_random_directions_of_any_lengths() -> None:
    draw = torch.Generator().manual_seed(1)
    a, b = (torch.randn(200_000, 16, generator=draw) for _ in range(2))
    cosine = brute(a * torch.rand(200_000, 1, generator=draw), b)
    counts = np.histogram(cosine.numpy(), bins=BINS, range=(-1, 1))[0]
    expected = random_histogram(16, 200_000)
    assert expected.sum() == pytest.approx(200_000)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())


# Intervals


def test_alike_tokens_of_an_example_count_as_one() -> None:
    """100 examples of 10 tokens that agree within each are 100 draws, and independent tokens are
    as many as there are."""
    rng = np.random.default_rng(0)
    acute = rng.random(100) < 0.7
    a = 10.0 * acute
    size = effective_size(1000, a.sum(), (a * a).sum(), 10 * a.sum(), 100 * 100.0, 100)
    assert size == pytest.approx(99)
    b = rng.binomial(10, 0.7, 100_000).astype(float)
    free = effective_size(1e6, b.sum(), (b * b).sum(), 10 * b.sum(), 1e7, 100_000)
    assert free == pytest.approx(1e6, rel=0.02)
    assert effective_size(1000, 1000, 10_000, 10_000, 10_000, 100) == 100  # all agree


def test_wilsons_interval() -> None:
    """Newcombe 1998, table I: 81 of 263, and 0 of 20."""
    assert wilson(81 / 263, 263, 1.959964) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0.0, 20, 1.959964) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0.5, 0, 1.96) == (0.0, 1.0)


def test_a_measurement_round_trips_through_json() -> None:
    found = Measured(12, "stored", 8, 4, 6, "mse", (look([4, 5]),))
    assert Measured.from_json(found.to_json()) == found
    assert set(found.metrics()) == {"angle_share_acute_1", "angle_cosine_1"}
