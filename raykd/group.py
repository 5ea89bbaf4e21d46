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
        self._parameters = parameters
        self._flat: Tensor | None = None
        self._work: dist.Work | None = None

    def start(self) -> None:
        if self._group.world == 1:
            return
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        self._flat = _flatten_dense_tensors(grads)
        self._work = dist.all_reduce(self._flat, async_op=True)

    def wait(self) -> None:
        if self._work is None or self._flat is None:
            return
        self._work.wait()
        grads = _unflatten_dense_tensors(self._flat, self._parameters)
        for parameter, grad in zip(self._parameters, grads, strict=True):
            parameter.grad = grad
        self._flat = self._work = None
