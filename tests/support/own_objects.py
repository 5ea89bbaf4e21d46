"""A caller's own teacher, student and batches, for the tests of the library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import PreTrainedModel

from raykd.models.public import build_student

from .tiny_models import tiny_model

Batch = dict[str, torch.Tensor]


def batches(task: str = "classification", count: int = 3, rows: int = 6) -> list[Batch]:
    """Rows of 3 to 10 tokens with 3 classes, or with targets of 2 to 6 tokens."""
    draw = torch.Generator().manual_seed(0)
    found = []
    for _ in range(count):
        length_B1 = torch.randint(3, 11, (rows, 1), generator=draw)
        mask_BT = (torch.arange(10) < length_B1).long()
        ids_BT = torch.randint(4, 60, (rows, 10), generator=draw) * mask_BT
        labels = torch.randint(0, 3, (rows,), generator=draw)
        if task == "causal_lm":  # the loss is on the last tokens of each row
            place_BT = torch.arange(10)
            labels = ids_BT.masked_fill((place_BT >= length_B1) | (place_BT < length_B1 // 2), -100)
        if task == "seq2seq":
            target_BU = torch.randint(4, 60, (rows, 6), generator=draw)
            length_B1 = torch.randint(2, 7, (rows, 1), generator=draw)
            labels = target_BU.masked_fill(torch.arange(6) >= length_B1, -100)
        found.append({"input_ids": ids_BT, "attention_mask": mask_BT, "labels": labels})
    return found


def models(blocks: int = 3, **size: Any) -> tuple[PreTrainedModel, PreTrainedModel]:
    teacher = tiny_model("bert")
    return teacher, build_student(teacher, blocks, seed=1, **size)


def weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {k: x.clone() for k, x in model.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(x, other[k]) for k, x in one.items())


class Shuffled:
    """Batches put together anew in each epoch, in an order of torch's random state."""

    def __init__(self) -> None:
        self.rows = [{k: x[i] for k, x in b.items()} for b in batches() for i in range(6)]

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[Batch]:
        for part in torch.randperm(18).view(3, 6).tolist():
            rows = [self.rows[i] for i in part]
            yield {k: torch.stack([row[k] for row in rows]) for k in rows[0]}
