"""The data-parallel group of a cohort: a single process, or the workers of torch.distributed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.distributed.nn.functional import all_gather


@dataclass(frozen=True)
class Group:
    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> Group:
        """The process group initialised in this process; a group of one if there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def sum(self, tensor: Tensor) -> Tensor:
        """Sums a tensor over the workers, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather_rows(self, x_ND: Tensor) -> Tensor:
        """The rows of all workers, by rank, on every worker, in fp32. The gradients of all workers
        reach the worker that a row came from. A worker without rows may pass any width."""
        if self.world == 1:
            return x_ND
        shapes: list[tuple[int, int]] = self.gather(tuple(x_ND.shape))  # type: ignore[assignment]
        rows, columns = zip(*shapes, strict=True)
        padded = F.pad(x_ND.float(), (0, max(columns) - x_ND.shape[1], 0, max(rows) - len(x_ND)))
        everyone = all_gather(padded)  # type: ignore[no-untyped-call]
        return torch.cat([x[:count] for x, count in zip(everyone, rows, strict=True)])

    def gather(self, value: object) -> list[object]:
        """The values of all workers, by rank, on every worker."""
        if self.world == 1:
            return [value]
        values: list[object] = [None] * self.world
        dist.all_gather_object(values, value)
        return values


class GradientSum:
    """Sums the gradients of a model over the workers asynchronously.

    Not DistributedDataParallel: a cohort holds K models in one process, and the gradients of one
    student are reduced while the next one computes. Losses are shares of the global mean, so the
    gradients are summed and not averaged.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], group: Group) -> None:
        self._group = group
        # One flat tensor for each dtype: adapters and projections stay in fp32 beside bf16 weights.
        self._buckets: dict[torch.dtype, list[torch.nn.Parameter]] = {}
        for parameter in parameters:
            self._buckets.setdefault(parameter.dtype, []).append(parameter)
        self._parameters = parameters
        self._running: list[tuple[list[torch.nn.Parameter], Tensor, dist.Work]] = []
        self._unreached: list[int] = []  # places of parameters without a gradient on this worker
        self._counts: tuple[Tensor, dist.Work] | None = None

    def start(self) -> None:
        if self._group.world == 1:
            return
        self._unreached = [i for i, p in enumerate(self._parameters) if p.grad is None]
        counts = torch.ones(len(self._parameters), device=self._parameters[0].device)
        counts[self._unreached] = 0.0
        work = dist.all_reduce(counts, async_op=True)
        assert work is not None
        self._counts = counts, work
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
        if self._counts is not None:
            counts, work = self._counts
            work.wait()
            # The host waits for the device only if some parameter has no gradient here.
            reached = counts[self._unreached].tolist() if self._unreached else []
            for place, workers in zip(self._unreached, reached, strict=True):
                if not workers:
                    self._parameters[place].grad = None
            self._counts = None
