"""What is odd about the released losses that look at padding; that they are the paper's is in
test_parity.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raykd.losses.hidden.kinds import released

ALL = torch.ones(2, 4, dtype=torch.bool)
PADDED = torch.tensor([[True] * 4, [True, True, False, False]])


@pytest.fixture
def states() -> tuple[Tensor, Tensor]:
    """Of a student and a teacher, [2, 4, 8]."""
    draw = torch.Generator().manual_seed(0)
    own, told = (torch.randn(2, 4, 8, generator=draw) for _ in range(2))
    return own, told


def test_in_t5_a_texts_loss_depends_on_its_batch_mates_and_on_their_padding(
    states: tuple[Tensor, Tensor],
) -> None:
    own, told = states
    first = torch.tensor([[True] * 4, [False] * 4])
    before = released.paper_t5(own, told, first)
    louder = own.clone()
    louder[1, 3] *= 10
    assert released.paper_t5(louder, told, first) != pytest.approx(float(before), rel=1e-3)
    # Standardised, they do not depend on the states' own mean and spread.
    assert released.paper_t5(3 * own + 2, told, first) == pytest.approx(float(before), rel=1e-3)


def test_qwens_hidden_loss_counts_padding_and_is_a_plain_mean_without(
    states: tuple[Tensor, Tensor],
) -> None:
    own, told = states
    cosines = torch.nn.functional.cosine_similarity(own, told, dim=-1)
    whole = released.paper_qwen(own, told, ALL)
    torch.testing.assert_close(whole, (2 - 2 * cosines).mean())
    scaled = released.paper_qwen(own, told, PADDED)
    torch.testing.assert_close(scaled, (2 - 2 * cosines).sum() * 6 / 8**2)
    own[1, 3] = told[1, 3]
    assert released.paper_qwen(own, told, PADDED) < scaled
