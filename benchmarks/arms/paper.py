"""The paper's released recipe rebuilt (arXiv 2502.04499, classification/trainer.py).

Every batch is padded to a fixed length, in fp32; the teacher runs at every step for every student;
both models keep all their hidden states; embeddings are matched too; one student at a time. Left
out, in its favour: a print and four reads of losses a step, a checkpoint at every evaluation, and
an optimiser in a Python loop over parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from benchmarks import frame
from benchmarks.frame import Rows, Setting

HIDDEN_WEIGHT = 3.0


def loss(
    student: Any, teacher: Any, mask_BT: Tensor, labels_B: Tensor, layer_map: tuple[int, ...]
) -> Tensor:
    """CE + KL + 3 * HID: squared error summed over width, mean over valid tokens and matched
    states, divided once more by the batch size."""
    ce = F.cross_entropy(student.logits, labels_B)
    kl = F.kl_div(
        F.log_softmax(student.logits, -1), F.softmax(teacher.logits, -1), reduction="batchmean"
    )
    pairs = [(0, 0), *enumerate(layer_map, 1)]
    each = []
    for s, t in pairs:
        squared_BT = (student.hidden_states[s] - teacher.hidden_states[t]).square().sum(-1)
        each.append((squared_BT * mask_BT).sum() / mask_BT.sum() / len(labels_B))
    return ce + kl + HIDDEN_WEIGHT * torch.stack(each).mean()


def ready(
    materials: tuple[Rows, Any], setting: Setting, student: Any, count: int
) -> Callable[[], None]:
    rows, teacher = materials
    return partial(steps, student, teacher, rows, setting, count)


def steps(student: Any, teacher: Any, rows: Rows, setting: Setting, count: int) -> None:
    generator = np.random.default_rng(setting.seed)

    def epoch() -> list[np.ndarray]:
        order = generator.permutation(len(rows))
        return [order[i : i + setting.batch] for i in range(0, len(order), setting.batch)]

    optimizer = frame.optimizer(student, setting)
    scheduler = get_linear_schedule_with_warmup(optimizer, setting.warm, setting.steps)
    student.train()
    for chosen in frame.epochs(epoch, count):
        batch = rows.collate([rows[i] for i in chosen], width=setting.max_length)
        labels = batch.pop("labels")
        with torch.no_grad():
            targets = teacher(**batch, output_hidden_states=True)
        outputs = student(**batch, output_hidden_states=True)
        total = loss(outputs, targets, batch["attention_mask"], labels, setting.layer_map)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(student.parameters(), setting.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    frame.main(frame.peer(frame.load, ready))
