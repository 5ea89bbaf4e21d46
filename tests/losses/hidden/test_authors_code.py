"""Losses of form `blocks` against the code that their authors released, and what RKD ignores."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from raykd.losses.hidden.inputs import HiddenInputs
from raykd.losses.hidden.kinds.pkd import pkd
from raykd.losses.hidden.kinds.rkd import rkd
from raykd.losses.hidden.kinds.tinybert import tinybert
from raykd.maps.activations import Activation, state
from raykd.maps.layer_map import LayerMap

from .test_blocks import (
    HEADS,
    LENGTHS,
    STUDENT,
    WIDTH,
    cut,
    in_order,
    layer_map,
    made,
    rows_of,
)


def test_pkd_is_the_released_patience_loss_without_its_division_by_the_width() -> None:
    """KD_loss.patience_loss: the mean of squared differences of normalised [B, blocks, D]."""
    seen = made("pkd")
    student, teacher = (
        torch.stack([seen.rows.first(of[k]) for k in blocks], 1)
        for of, blocks in ((seen.student, [s for s, _ in seen.pairs]),
                           (seen.teacher, [t for _, t in seen.pairs]))
    )  # fmt: skip
    released = F.mse_loss(F.normalize(teacher, p=2, dim=2), F.normalize(student, p=2, dim=2))
    torch.testing.assert_close(pkd(seen)[0], released * WIDTH)


def test_tinybert_is_the_released_loss_on_a_batch_without_padding() -> None:
    """task_distill.py sums MSELoss over blocks, of states and of scores that are not normalised."""
    lengths = (4, 4, 4)
    g = torch.Generator().manual_seed(1)
    whole = layer_map("tinybert")
    names = (
        in_order("tinybert", [s for s, _ in whole.pairs()]),
        in_order("tinybert", [t for _, t in whole.pairs()]),
    )
    own, told = ({k: torch.randn(12, WIDTH, generator=g) for k in n} for n in names)
    seen = HiddenInputs(whole.pairs(), own, told, rows_of(lengths), HEADS, {})

    def heads(x: Tensor) -> Tensor:
        return x.view(3, 4, HEADS, -1).permute(0, 2, 1, 3)

    def scores(of: dict[Activation, Tensor], k: Activation) -> Tensor:
        q, key = heads(of[k.of_kind("query")]), heads(of[k.of_kind("key")])
        return q @ key.transpose(-1, -2) / (WIDTH / HEADS) ** 0.5

    rep = sum(F.mse_loss(own[s], told[t]) for s, t in whole.pairs())
    att = sum(F.mse_loss(scores(own, s), scores(told, t)) for s, t in whole.pairs() if s.block)
    states, attention = tinybert(seen)
    torch.testing.assert_close(states * (STUDENT + 1), rep)
    torch.testing.assert_close(attention * STUDENT, att)


# Relations between the examples of a batch


def released_rkd(student_BD: Tensor, teacher_BD: Tensor) -> list[Tensor]:
    """Both terms as the authors released them (metric/loss.py and metric/utils.py)."""

    def pdist(e: Tensor) -> Tensor:
        prod, square = e @ e.t(), e.pow(2).sum(dim=1)
        res = (square.unsqueeze(1) + square.unsqueeze(0) - 2 * prod).clamp(min=1e-12).sqrt().clone()
        res[range(len(e)), range(len(e))] = 0
        return res

    d_s, d_t = (d / d[d > 0].mean() for d in (pdist(student_BD), pdist(teacher_BD)))
    cosines = []
    for e in (student_BD, teacher_BD):
        unit = F.normalize(e.unsqueeze(0) - e.unsqueeze(1), p=2, dim=2)
        cosines.append(torch.bmm(unit, unit.transpose(1, 2)).view(-1))
    return [F.smooth_l1_loss(d_s, d_t), F.smooth_l1_loss(*cosines)]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10)
def test_rkd_is_the_released_loss_in_value_and_gradient(seed: int) -> None:
    seen = made("rkd", seed, narrow=True)
    for x_ND in seen.student.values():
        x_ND.requires_grad_()
    own = torch.stack(rkd(seen, distance=25, angle=50))
    pairs = [[seen.rows.mean(x) for x in (seen.student[s], seen.teacher[t])] for s, t in seen.pairs]
    by_pair = torch.stack([torch.stack(released_rkd(*pair)) for pair in pairs])
    released = torch.tensor([25.0, 50.0]) * by_pair.mean(0)
    torch.testing.assert_close(own, released)
    states = list(seen.student.values())
    gradients = (torch.autograd.grad(x.sum(), states, retain_graph=True) for x in (own, released))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 10), offset=st.floats(-5, 5))
@settings(max_examples=10)
def test_rkd_ignores_rotation_scale_and_offset(seed: int, scale: float, offset: float) -> None:
    seen = made("rkd", seed)
    turn, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH))
    moved = {k: scale * x_ND @ turn + offset for k, x_ND in seen.student.items()}
    expected = torch.stack(rkd(seen, 1, 2))
    own = torch.stack(rkd(replace(seen, student=moved), 1, 2))
    torch.testing.assert_close(own, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_rkd_of_fewer_than_three_examples_is_zero_and_finite(count: int) -> None:
    """The last batch of an epoch may have so few."""
    seen = made("rkd")
    few = replace(cut(seen, range(count)), rows=rows_of(LENGTHS[:count]))
    for x_ND in few.student.values():
        x_ND.requires_grad_()
    terms = torch.stack(rkd(few, 1, 2))
    terms.sum().backward()  # type: ignore[no-untyped-call]
    assert terms.detach().abs().max() < 1e-6
    for x_ND in few.student.values():
        assert x_ND.grad is None or torch.isfinite(x_ND.grad).all()


def test_rkd_of_equal_examples_has_a_finite_gradient() -> None:
    lengths, vectors = (2, 2, 2), torch.ones(6, WIDTH)
    pairs = LayerMap((1,)).pairs()
    student_ND = vectors.clone().requires_grad_()
    teacher = {state(1): torch.randn(6, WIDTH)}
    seen = HiddenInputs(pairs, {state(1): student_ND}, teacher, rows_of(lengths), HEADS, {})
    torch.stack(rkd(seen, 1, 2)).sum().backward()  # type: ignore[no-untyped-call]
    assert student_ND.grad is not None and torch.isfinite(student_ND.grad).all()
