"""A task whose batches are padded further than they need be."""

from __future__ import annotations

from typing import Any

import numpy as np

from raykd.data.batches import Batch
from raykd.data.encoded import Encoded
from raykd.tasks.task import Task


def padded_task(task: Task, length: int) -> Task:
    """The task, with every batch padded to at least `length` tokens."""
    base: Any = type(task)

    class Padded(base):  # type: ignore[misc]
        def collate(
            self, encoded: Encoded, rows: np.ndarray, pad: int, whole: np.ndarray | None = None
        ) -> Batch:
            batch: Batch = super().collate(encoded, rows, pad, whole, length)
            return batch

    padded: Task = Padded()
    return padded
