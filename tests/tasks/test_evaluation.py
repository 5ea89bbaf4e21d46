"""Evaluation in batches: every row once and in order, whatever a GPU has room for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raykd.runtime.group import Group
from raykd.tasks.evaluation import over_rows


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    batch=st.integers(1, 16),
    room=st.integers(50, 800),
)
def test_a_batch_that_finds_no_room_is_halved(lengths: list[int], batch: int, room: int) -> None:
    """Rows are answered by their own number; a batch takes rows times its longest."""
    known, refused = np.array(lengths), 0
    taken: list[int] = []

    def answer(rows: np.ndarray) -> np.ndarray:
        nonlocal refused
        if len(rows) * known[rows].max() > room:
            refused += 1
            raise torch.OutOfMemoryError
        assert not torch.is_grad_enabled()
        taken.extend(rows)
        return 10 * rows

    model = torch.nn.Linear(1, 1)
    found = over_rows(model, known, batch, Group(), answer)  # type: ignore[arg-type]
    assert found.tolist() == [10 * i for i in range(len(lengths))]
    assert sorted(taken) == list(range(len(lengths)))
    assert refused <= batch.bit_length()  # what is left is halved with it, so it is no search
    assert model.training


def test_one_row_that_finds_no_room_is_told() -> None:
    def answer(rows: np.ndarray) -> np.ndarray:
        raise torch.OutOfMemoryError("of one row")

    with pytest.raises(torch.OutOfMemoryError, match="of one row"):
        over_rows(torch.nn.Linear(1, 1), np.ones(5), 4, Group(), answer)  # type: ignore[arg-type]
