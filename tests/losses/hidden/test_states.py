"""Losses: the formulas, padding, and shares that sum to the whole."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from raykd.data.batches import valid
from raykd.losses import outputs
from raykd.losses.hidden.kinds.cosine import cosine
from raykd.losses.hidden.kinds.paper import paper
from raykd.losses.hidden.kinds.squared_error import mse, normalized_mse
from raykd.losses.hidden.registry import hidden_loss, hidden_losses

BY_TOKEN = sorted(name for name, loss in hidden_losses().items() if loss.by_token)
OF_PAIRS = sorted(name for name, loss in hidden_losses().items() if loss.form == "pair")


def states(seed: int, n: int = 12, d: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g), torch.randn(n, d, generator=g)


def places(mask_BT: torch.Tensor) -> torch.Tensor:
    return mask_BT.flatten().nonzero().squeeze(1)


@pytest.mark.parametrize("kind", BY_TOKEN)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 11))
def test_shares_of_a_batch_sum_to_its_loss(kind: str, seed: int, cut: int) -> None:
    s_ND, t_ND = states(seed)
    whole = hidden_loss(kind).function(s_ND, t_ND, 12, 4)
    parts = [
        hidden_loss(kind).function(s_ND[a:b], t_ND[a:b], 12, 4) for a, b in ((0, cut), (cut, 12))
    ]
    torch.testing.assert_close(parts[0] + parts[1], whole)


@pytest.mark.parametrize("kind", OF_PAIRS)
def test_a_perfect_student_has_no_loss_and_no_gradient(kind: str) -> None:
    _, t_ND = states(0)
    s_ND = t_ND.clone().requires_grad_()
    loss = hidden_loss(kind).function(s_ND, t_ND, 12, 4)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert s_ND.grad is not None and s_ND.grad.abs().max().item() < 1e-6


@pytest.mark.parametrize("kind", OF_PAIRS)
def test_padding_never_reaches_a_hidden_loss(kind: str) -> None:
    g = torch.Generator().manual_seed(3)
    mask_BT = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]])
    s_BTD, t_BTD = torch.randn(3, 5, 8, generator=g), torch.randn(3, 5, 8, generator=g)
    garbage = torch.full((3, 4, 8), 1e6)

    def loss(s: torch.Tensor, t: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        pair = (valid(s, places(mask)), valid(t, places(mask)))
        loss: torch.Tensor = hidden_loss(kind).function(*pair, 9, 3)
        return loss

    padded_mask = F.pad(mask_BT, (0, 4))
    padded = loss(torch.cat([s_BTD, garbage], 1), torch.cat([t_BTD, garbage], 1), padded_mask)
    assert torch.equal(loss(s_BTD, t_BTD, mask_BT), padded)


def test_mse_is_the_mean_over_valid_tokens_and_width() -> None:
    s_ND, t_ND = states(1)
    torch.testing.assert_close(mse(s_ND, t_ND, 12, 4), ((s_ND - t_ND) ** 2).mean())


def test_normalized_mse_ignores_scale_and_offset() -> None:
    s_ND, t_ND = states(2)
    a = normalized_mse(s_ND, t_ND, 12, 4)
    b = normalized_mse(3 * s_ND + 5, 0.1 * t_ND - 2, 12, 4)
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_cosine_is_two_for_opposite_vectors() -> None:
    _, t_ND = states(4)
    assert cosine(-t_ND, t_ND, 12, 4).item() == pytest.approx(2, abs=1e-5)


def released_hidden(
    student: torch.Tensor, teacher: torch.Tensor, mask_BT: torch.Tensor
) -> torch.Tensor:
    """Direct transcription of paper.md section 2 (BERT), over [M, B, T, D] stacks:
    HID = (1/M) sum_m (1/B) (1/N) sum_bt mask[b,t] || t_m[b,t] - s_m[b,t] ||^2."""
    M, B = student.shape[0], student.shape[1]
    N = mask_BT.sum()
    total = torch.zeros(())
    for m in range(M):
        for b in range(B):
            for t in range(mask_BT.shape[1]):
                total = total + mask_BT[b, t] * ((teacher[m, b, t] - student[m, b, t]) ** 2).sum()
    return total / (M * B * N)


@given(seed=st.integers(0, 100))
def test_paper_preset_is_the_released_arithmetic_in_value_and_gradient(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    M, B, T, D = 3, 4, 6, 5
    lengths = torch.randint(1, T + 1, (B,), generator=g)
    mask_BT = (torch.arange(T)[None] < lengths[:, None]).long()
    teacher = torch.randn(M, B, T, D, generator=g, dtype=torch.float32)
    ours = torch.randn(M, B, T, D, generator=g).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    pairs = [
        (valid(s, places(mask_BT)), valid(t, places(mask_BT)))
        for s, t in zip(ours, teacher, strict=True)
    ]
    each = [paper(*pair, int(mask_BT.sum()), B) for pair in pairs]
    assert hidden_loss("paper").averages
    value = torch.stack(each).mean()
    expected = released_hidden(theirs, teacher, mask_BT)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_released_ce_and_kl_at_temperature_one() -> None:
    g = torch.Generator().manual_seed(5)
    s_PC, t_PC = torch.randn(6, 3, generator=g), torch.randn(6, 3, generator=g)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(
        outputs.cross_entropy(s_PC, labels, 6), F.cross_entropy(s_PC, labels)
    )
    released = F.kl_div(F.log_softmax(s_PC, -1), F.softmax(t_PC, -1), reduction="batchmean")
    torch.testing.assert_close(outputs.kl(s_PC, t_PC, 1.0, 6), released)


@given(seed=st.integers(0, 100), temperature=st.floats(0.5, 8))
def test_kl_is_zero_only_for_the_teachers_distribution(seed: int, temperature: float) -> None:
    g = torch.Generator().manual_seed(seed)
    s_PC, t_PC = torch.randn(6, 3, generator=g), torch.randn(6, 3, generator=g)
    assert outputs.kl(t_PC + 7, t_PC, temperature, 6).item() == pytest.approx(0, abs=1e-4)
    assert outputs.kl(s_PC, t_PC, temperature, 6).item() > 0


def test_temperature_keeps_the_gradients_scale() -> None:
    """T^2 makes up for the gradient's 1/T^2, so the weight means the same at every T."""
    g = torch.Generator().manual_seed(6)
    t_PC = torch.randn(64, 3, generator=g)
    norms = []
    for temperature in (10.0, 100.0):
        s_PC = torch.zeros(64, 3, requires_grad=True)
        outputs.kl(s_PC, t_PC, temperature, 64).backward()
        norms.append(s_PC.grad.norm().item())  # type: ignore[union-attr]
    assert norms[0] == pytest.approx(norms[1], rel=0.1)
