"""The two loops that raykd is set beside, on any device: the paper's released recipe, and a plain
loop as a practitioner writes it today. A `steps` function goes so many steps of an arm."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from benchmarks import frame
from benchmarks.arms import paper
from raykd.config.trial import TrialSpec, learning_rate
from raykd.data.batches import Batch, by_epoch, prefetch
from raykd.training.trainer import CohortTrainer

Loss = Callable[[Any, Any, Batch], torch.Tensor]


@dataclass(frozen=True)
class Loop:
    """One student's training, made once and gone on with by `run`."""

    student: PreTrainedModel
    teacher: PreTrainedModel
    spec: TrialSpec
    batches: Iterator[Batch]
    loss: Loss
    device: torch.device
    bf16: bool
    optimizer: torch.optim.Optimizer

    def run(self, steps: int) -> None:
        for step in range(steps):
            batch = next(self.batches).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                with torch.no_grad():
                    targets = self.teacher(**batch.inputs, output_hidden_states=True)
                outputs = self.student(**batch.inputs, output_hidden_states=True)
                total = self.loss(outputs, targets, batch)
            total.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.student.parameters(), self.spec.training.clip)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.spec, step % self.spec.training.steps)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def paper_recipe(
    made: CohortTrainer, first: PreTrainedModel, spec: TrialSpec, longest: int
) -> Loop:
    """fp32, batches in a random order padded to a fixed length, no batch made ahead."""
    layer_map = tuple(b for b in spec.layer_map.blocks if b)
    rows, rng = made.data.train, np.random.default_rng(0)

    def batches() -> Iterator[Batch]:
        while True:
            order = rng.permutation(len(rows.ids))
            for at in range(0, len(order) - spec.training.batch + 1, spec.training.batch):
                chosen = order[at : at + spec.training.batch]
                yield made.data.family.collate(rows, chosen, made.data.pad, None, longest)

    def loss(outputs: Any, targets: Any, batch: Batch) -> torch.Tensor:
        assert batch.labels is not None
        mask = batch.inputs["attention_mask"]
        return paper.loss(outputs, targets, mask, batch.labels, layer_map)

    return _loop(made, first, spec, batches(), loss, bf16=False)


def plain(made: CohortTrainer, first: PreTrainedModel, spec: TrialSpec) -> Loop:
    """bf16 autocast, the batches that raykd trains on, made ahead and pinned as raykd's are."""
    layer_map = tuple(b for b in spec.layer_map.blocks if b)
    data, device = made.data, made.where.device

    def collate(rows: np.ndarray) -> Batch:
        return data.family.collate(data.train, rows, data.pad).pinned(device)

    def loss(outputs: Any, targets: Any, batch: Batch) -> torch.Tensor:
        assert batch.labels is not None
        mask = batch.inputs["attention_mask"]
        return frame.losses(outputs, targets, mask, batch.labels, layer_map)

    order = (rows for _, rows in by_epoch(data.train.lengths, spec.training.batch, 0))
    feed = prefetch(islice(order, 100_000), collate)
    return _loop(made, first, spec, feed, loss, bf16=True)


def _loop(
    made: CohortTrainer, first: PreTrainedModel, spec: TrialSpec, batches: Iterator[Batch],
    loss: Loss, bf16: bool,
) -> Loop:  # fmt: skip
    student = copy.deepcopy(first).train()
    groups = frame.decayed(student, spec.training.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=spec.training.lr, fused=True)
    device = made.where.device
    return Loop(student, made.teacher, spec, batches, loss, device, bf16, optimizer)
