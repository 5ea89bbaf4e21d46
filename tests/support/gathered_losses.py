"""One step of a loss of the whole batch with two workers, each a process: `python -m
tests.support.gathered_losses RANK FOLDER` writes to FOLDER/RANK.json, for each case, the losses and
the gradient that this worker has after the step's sum; at last, what `overflow` returns."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from raykd.config.trial import Init, Shape
from raykd.data.batches import shard
from raykd.data.encoded import Encoded
from raykd.losses.hidden.registry import hidden_losses
from raykd.maps.layer_map import LayerMap
from raykd.models.student import build_student
from raykd.runtime.execution import Execution
from raykd.runtime.group import Group
from raykd.tasks.classification import Classification
from raykd.teachers.targets import LiveTeacher
from raykd.training.learner import Learner

from .specs import spec
from .tiny_models import tiny_model

LENGTHS = np.array([7, 3, 9, 4, 5])
KINDS = sorted(name for name, loss in hidden_losses().items() if not loss.additive)
CASES = [
    (kind, rows, frozen)
    for kind in (*KINDS, "mixed")
    for rows, frozen in ((5, False), (3, False), (2, False), (1, False), (1, True))
]
"""Kind, rows of the batch (of one row, the second worker has none), frozen embeddings. `mixed` has
a loss of the whole batch on one pair, and one by token on the others."""
MIXED = LayerMap.of([[4, "0.5*linear_cka(1)"], 2], embedding=0)


def rows(count: int) -> Encoded:
    lengths = LENGTHS[:count]
    rng = np.random.default_rng(0)
    return Encoded(
        fingerprint="made up",
        input_ids=rng.integers(10, 90, lengths.sum(), dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        type_ids=None,
        labels=rng.integers(0, 2, count, dtype=np.int64),
        ids=np.array([f"row-{i}" for i in range(count)]),
    )


def step(kind: str, count: int, frozen: bool, group: Group) -> dict[str, Any]:
    """The terms of the loss, summed over the workers, and the gradient of all parameters."""
    teacher = tiny_model("bert", blocks=4, labels=2, dropout=0.0)
    shape = Shape(2, width=None if frozen else 16)
    layer_map, kind = (
        (MIXED, "normalized_mse") if kind == "mixed" else (LayerMap((4, 2), embedding=0), kind)
    )
    trial = spec(shape=shape, layer_map=layer_map, kind=kind, freeze_embeddings=frozen)
    student = build_student(teacher, shape, Init("random"), 0)
    learner = Learner(trial, student, Classification(), 32, Execution(group=group))
    live = LiveTeacher(teacher, trial.teacher_states, Classification(), nullcontext())
    whole = np.arange(count)
    batch = Classification().collate(rows(count), shard(whole, group.rank, group.world), 0, whole)
    learner.backward(batch, live(batch) if len(batch.ids) else None, 0)
    learner.gradients.wait()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learner.parameters]
    losses = learner.running_losses(1)
    return {"losses": losses, "gradient": torch.cat([g.flatten() for g in gradients]).tolist()}


def overflow(group: Group) -> dict[str, Any]:
    """The scale and the skipped steps after a step in fp16 whose gradients overflow on the first
    worker. The second has no rows."""
    teacher = tiny_model("bert", blocks=4, labels=2, dropout=0.0)
    trial = spec(shape=Shape(2), layer_map=LayerMap((4, 2)), hidden=1e9)
    student = build_student(teacher, trial.shape, Init("random"), 0)
    where, whole = Execution(group=group, precision="fp16"), np.arange(1)
    learner = Learner(trial, student, Classification(), 32, where)
    live = LiveTeacher(teacher, trial.teacher_states, Classification(), where.autocast())
    batch = Classification().collate(rows(1), shard(whole, group.rank, group.world), 0, whole)
    learner.backward(batch, live(batch) if len(batch.ids) else None, 0)
    learner.update(0)
    assert learner.scaler is not None
    return learner.scaler.state()


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    steps = [*(step(*case, Group.current()) for case in CASES), overflow(Group.current())]
    (folder / f"{rank}.json").write_text(json.dumps(steps), encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
