"""models 11: a parameter that no gradient reaches is treated alike by one worker and by two."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from raykd.runtime.group import GradientSum, Group


def parameters() -> list[nn.Parameter]:
    """Of two dtypes: one reached by both workers, one by the second alone, one by none."""
    kinds = (torch.float32, torch.bfloat16)
    return [nn.Parameter(torch.full((3,), 2.0, dtype=kind)) for kind in kinds for _ in range(3)]


def steps(group: Group, ranks: tuple[int, ...]) -> list[Tensor]:
    """The parameters after three steps with weight decay; the gradients are those of `ranks`."""
    own = parameters()
    optimizer = torch.optim.AdamW(own, lr=0.1, weight_decay=0.5)
    gradients = GradientSum(own, group)
    for step in range(3):
        for i, parameter in enumerate(own):
            kind = i % 3
            parts = [r + 1.0 for r in ranks if kind == 0 or (kind == 1 and r == 1 and step != 1)]
            parameter.grad = torch.full_like(parameter, sum(parts)) if parts else None
        gradients.start()
        gradients.wait()
        optimizer.step()
    return [p.detach() for p in own]


def work(rank: int, store: Path, queue: multiprocessing.Queue[list[list[float]]]) -> None:
    dist.init_process_group("gloo", store=dist.FileStore(str(store), 2), rank=rank, world_size=2)
    queue.put([p.tolist() for p in steps(Group.current(), (rank,))])
    dist.barrier()
    dist.destroy_process_group()


def test_a_parameter_without_gradient_is_not_decayed_by_two_workers_either(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    workers = [fork.Process(target=work, args=(r, tmp_path / "store", queue)) for r in range(2)]
    for process in workers:
        process.start()
    answers = [queue.get(timeout=120) for _ in workers]
    for process in workers:
        process.join()
    alone = [p.tolist() for p in steps(Group(), (0, 1))]
    assert answers == [alone, alone]
    assert alone[2] == alone[5] == [2.0] * 3 and alone[1] != alone[2]
