"""What R² is compared with: the best constant and a lookup by token (probe.py).

Both are vectors that a state could have, the same for every token, or for every occurrence of a
token id. The constant is fitted on the held-out tokens themselves, as the mean in a usual R². The
lookup is fitted on training tokens and evaluated on the held-out ones; a token id that does not
occur in training has the mean over the training tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.data.batches import eval_batches
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.statistics import Statistics
from raykd.maps.activations import Activation, state
from raykd.models.capture import stacks
from raykd.teachers.targets import LiveTeacher

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raykd.data.encoded import Encoded
    from raykd.runtime.execution import Execution
    from raykd.tasks.task import Data

TOKENS = 5_000  # held-out tokens, or all of the select split if it has fewer
TRAIN_TOKENS = 20_000  # that the lookup is fitted on
BATCH = 32  # rows at a time


@dataclass(frozen=True)
class Lines:
    """Losses over all held-out tokens, as sums of squared distances, by number of the teacher
    state."""

    constant: dict[str, float]
    lookup: dict[str, float]


def in_space(kind: str, x_ND: Tensor) -> Tensor:
    """States in the space of a hidden loss, in fp32."""
    space = hidden_loss(kind).space
    return x_ND.float() if space is None else space(x_ND.float())


def image(kind: str, x_ND: Tensor, target: Activation, statistics: Statistics | None) -> Tensor:
    """A state as a hidden loss compares it with a teacher state: in the space of the loss, and
    standardised with the statistics of that teacher state if the kind does so."""
    if hidden_loss(kind).standardized:
        assert statistics is not None
        x_ND = statistics[target].standardize(x_ND)
    return in_space(kind, x_ND)


def row_batches(encoded: Encoded, tokens: int, batch: int = BATCH) -> list[np.ndarray]:
    """Batches of evenly spaced rows with at least `tokens` tokens, or of all rows."""
    total = len(encoded.lengths)
    count = math.ceil(tokens / float(encoded.lengths.mean()))
    while True:
        rows = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))
        if len(rows) == total or encoded.lengths[rows].sum() >= tokens:
            return [rows[part] for part in eval_batches(encoded.lengths[rows], batch)]
        count = math.ceil(1.1 * count)


@torch.no_grad()
def measure_lines(
    kind: str, teacher: PreTrainedModel, data: Data, where: Execution,
    statistics: Statistics | None = None,
) -> Lines:  # fmt: skip
    """Run the teacher over training and held-out tokens and return the losses of the constant and
    the lookup. Every worker of a group runs it over all of these tokens. `statistics`: of the
    teacher's states, for a kind that standardises."""
    blocks = [state(block) for block in range(len(stacks(teacher)["encoder"]) + 1)]
    live = LiveTeacher(teacher, blocks, data.family, where.autocast())

    def passes(encoded: Encoded, tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the token ids of each batch, and the states of all K blocks at these tokens."""
        for rows in row_batches(encoded, tokens, min(BATCH, where.micro_batch or BATCH)):
            batch = data.family.collate(encoded, rows, data.pad).to(where.device)
            states_ND = live(batch).states_ND
            images = [image(kind, states_ND[block], block, statistics) for block in blocks]
            x_NKD = torch.stack(images, 1)
            yield batch.inputs["input_ids"].flatten()[batch.valid], x_NKD

    try:
        ids_V = _held_out_ids(data).to(where.device)
        table_VKD = _fit(ids_V, passes(data.train, TRAIN_TOKENS))
        constant_K, lookup_K = _losses(kind, ids_V, table_VKD, passes(data.select, TOKENS))
    finally:
        live.close()
    numbers = [block.number for block in blocks]
    return Lines(
        dict(zip(numbers, constant_K, strict=True)), dict(zip(numbers, lookup_K, strict=True))
    )


def _held_out_ids(data: Data) -> Tensor:
    """Return the ids of the held-out tokens, in order."""
    encoded, rows = data.select, np.concatenate(row_batches(data.select, TOKENS))
    ids = [encoded.input_ids[encoded.offsets[row] : encoded.offsets[row + 1]] for row in rows]
    return torch.from_numpy(np.unique(np.concatenate(ids)).astype(np.int64))


def _fit(ids_V: Tensor, training: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the mean state of each token id over the training tokens, [V, K, D]; for an id that
    does not occur there, the mean over all of them."""
    sums_VKD: Tensor | None = None
    counts_V = torch.zeros(len(ids_V), device=ids_V.device)
    total_KD, count = torch.zeros((), device=ids_V.device), 0
    for ids_N, x_NKD in training:
        if sums_VKD is None:
            sums_VKD = x_NKD.new_zeros(len(ids_V), *x_NKD.shape[1:])
        known_N = torch.isin(ids_N, ids_V)
        rows_N = torch.searchsorted(ids_V, ids_N[known_N])
        sums_VKD.index_add_(0, rows_N, x_NKD[known_N])
        counts_V += torch.bincount(rows_N, minlength=len(ids_V))
        total_KD, count = total_KD + x_NKD.sum(0), count + len(x_NKD)
    assert sums_VKD is not None, "the train split has rows"
    means_VKD = sums_VKD / counts_V.clamp(min=1)[:, None, None]
    return torch.where(counts_V[:, None, None] > 0, means_VKD, total_KD / count)


def _losses(
    kind: str, ids_V: Tensor, table_VKD: Tensor, held_out: Iterable[tuple[Tensor, Tensor]]
) -> tuple[list[float], list[float]]:
    """Return the losses of the constant and of the lookup for each state."""
    table_VKD = in_space(kind, table_VKD)  # the mean of directions is shorter than a direction
    lookup_K = squares_K = total_KD = torch.zeros((), dtype=torch.float64, device=ids_V.device)
    count = 0
    for ids_N, x_NKD in held_out:
        predicted_NKD = table_VKD[torch.searchsorted(ids_V, ids_N)]
        lookup_K = lookup_K + (x_NKD - predicted_NKD).double().square().sum((0, 2))
        squares_K = squares_K + x_NKD.double().square().sum((0, 2))
        total_KD, count = total_KD + x_NKD.double().sum(0), count + len(x_NKD)
    constant_KD = in_space(kind, total_KD / count).double()
    products_K = (constant_KD * total_KD).sum(1)
    constant_K = squares_K - 2 * products_K + count * constant_KD.square().sum(1)
    return constant_K.tolist(), lookup_K.tolist()
