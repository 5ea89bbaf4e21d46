"""Linear CKA against its definition by centred Gram matrices, and what it does not depend on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raykd.losses.hidden.kinds.linear_cka import linear_cka

N = 20


def states(seed: int, width: int) -> Tensor:
    return torch.randn(N, width, generator=torch.Generator().manual_seed(seed))


def rotation(seed: int, width: int) -> Tensor:
    q, _ = torch.linalg.qr(states(seed, width)[:width])
    return q


def naive(student_ND: Tensor, teacher_ND: Tensor) -> float:
    """1 - HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of the Gram matrices (Kornblith et al. 2019,
    equations 2 and 3), one entry at a time."""

    def gram(x_ND: Tensor) -> list[list[float]]:
        x = x_ND.double()
        table = [[float(a @ b) for b in x] for a in x]
        rows = [sum(row) / N for row in table]
        mean = sum(rows) / N
        return [[table[i][j] - rows[i] - rows[j] + mean for j in range(N)] for i in range(N)]

    def hsic(a: list[list[float]], b: list[list[float]]) -> float:
        return sum(a[i][j] * b[i][j] for i in range(N) for j in range(N))

    k, l = gram(student_ND), gram(teacher_ND)  # noqa: E741
    return 1 - hsic(k, l) / (hsic(k, k) * hsic(l, l)) ** 0.5


@pytest.mark.parametrize("widths", [(8, 8), (5, 8), (8, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_its_definition(widths: tuple[int, int], seed: int) -> None:
    student, teacher = states(seed, widths[0]), states(seed + 100, widths[1])
    loss = linear_cka(student, teacher, N, 4)
    assert loss.item() == pytest.approx(naive(student, teacher), abs=1e-5)
    assert 0 < loss < 1


@given(st.integers(0, 999), st.floats(0.1, 10), st.floats(-5, 5))
def test_rotations_scales_and_offsets_change_nothing(
    seed: int, scale: float, offset: float
) -> None:
    student, teacher = states(seed, 8), states(seed + 1000, 6)
    moved = scale * student @ rotation(seed, 8) + offset
    turned = teacher @ rotation(seed, 6) / scale - offset
    expected = linear_cka(student, teacher, N, 4)
    torch.testing.assert_close(linear_cka(moved, turned, N, 4), expected, rtol=1e-3, atol=1e-4)


def test_a_state_that_is_stretched_in_one_direction_is_another() -> None:
    student = states(0, 8)
    stretched = student * torch.tensor([9.0, *[1.0] * 7])
    assert linear_cka(student, stretched, N, 4) > 0.1


@given(st.integers(0, 999))
def test_it_is_zero_for_the_teachers_own_states_and_has_a_gradient_elsewhere(seed: int) -> None:
    teacher = states(seed, 8)
    assert linear_cka(teacher, teacher, N, 4).item() == pytest.approx(0, abs=1e-5)
    student = states(seed + 1, 8).requires_grad_()
    linear_cka(student, teacher, N, 4).backward()
    assert student.grad is not None and student.grad.abs().max() > 0


def test_states_without_variance_have_a_finite_loss_and_gradient() -> None:
    """A batch of one token, or of equal ones."""
    student = torch.ones(3, 4, requires_grad=True)
    loss = linear_cka(student, states(0, 8)[:3], 3, 1)
    loss.backward()
    assert loss.item() == pytest.approx(1)
    assert student.grad is not None and torch.isfinite(student.grad).all()
