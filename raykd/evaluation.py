"""A model over a split: every row once, shared out over the workers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from transformers import PreTrainedModel

from raykd.batches import eval_batches
from raykd.group import Group


def over_rows(
    model: PreTrainedModel,
    lengths: np.ndarray,
    batch: int,
    group: Group,
    answer: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """`answer` of row indices, near lengths together, as one array in row order, on every worker.
    The model is in eval mode meanwhile, without gradients."""
    mine = []
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for rows in eval_batches(lengths, batch)[group.rank :: group.world]:
            mine.append((rows, answer(rows)))
    model.train(was_training)
    parts = [part for worker in group.gather(mine) for part in worker]  # type: ignore[attr-defined]
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    return np.concatenate([found for _, found in parts])[order]
