"""The data-parallel group a cohort trains in: one process alone, or torch.distributed's workers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors


@dataclass(frozen=True)
class Group:
    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> Group:
        """The process group that is set up in this process; alone if there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the workers, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: object) -> list[object]:
        """Every worker's value, by rank, on every worker."""
        if self.world == 1:
            return [value]
        values: list[object] = [None] * self.world
        dist.all_gather_object(values, value)
        return values


class GradientSum:
    """Sums a model's gradients over the workers while the caller goes on with other work.

    Not DistributedDataParallel: a cohort holds K models in one process, and the gradients of one
    student travel while the next one computes. Losses are shares of the global mean, so the
    gradients are summed and never averaged.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], group: Group) -> None:
        self._group = group
        # In one tensor a dtype: weights in bf16 stand beside adapters and projections in fp32.
        self._buckets: dict[torch.dtype, list[torch.nn.Parameter]] = {}
        for parameter in parameters:
            self._buckets.setdefault(parameter.dtype, []).append(parameter)
        self._running: list[tuple[list[torch.nn.Parameter], Tensor, dist.Work]] = []

    def start(self) -> None:
        if self._group.world == 1:
            return
        for bucket in self._buckets.values():
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            flat = _flatten_dense_tensors(grads)
            work = dist.all_reduce(flat, async_op=True)
            assert work is not None
            self._running.append((bucket, flat, work))

    def wait(self) -> None:
        for bucket, flat, work in self._running:
            work.wait()
            for parameter, grad in zip(bucket, _unflatten_dense_tensors(flat, bucket), strict=True):
                parameter.grad = grad
        self._running.clear()
