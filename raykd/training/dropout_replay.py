"""Dropout noise of a step, drawn once and replayed for the students that would draw the same.

The students of a cohort share a seed, and every student's pass starts with the same state of the
random generator. The k-th dropout of students of one shape therefore draws the same noise. On a CPU
torch draws it at several nanoseconds a number, many times what the multiplication takes.

Noise depends on the generator's state, on the shape, strides and dtype of the input, and on the
dropout rate. It is replayed only if all of them are those of an earlier draw, and the generator
then continues from the state after that draw. A student that differs in any way draws its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

import torch
from torch import Tensor
from torch.library import Library

from raykd.runtime.execution import Execution

Draw = tuple[bytes, torch.Size, tuple[int, ...], torch.dtype, float]
_entered = Lock()  # torch has one kernel of an operator for all threads


class DropoutReplay:
    """The operator `aten::dropout` on a CPU, which keeps its noise and replays it.

    Output, gradient and the generator's state afterwards are those of torch's operator. That one
    multiplies with noise of zeros and 1 / (1 - p), which it draws and keeps for the backward pass.
    """

    def __init__(self) -> None:
        self.replayed = 0
        """How often noise was replayed."""
        self._drawn: dict[Draw, tuple[Tensor, Tensor]] = {}

    def __call__(self, x: Tensor, p: float, train: bool) -> Tensor:
        if not train or p == 0 or x.numel() == 0:
            return x
        if p == 1:
            return x * x.new_zeros(())
        return x * self._noise(x, p)

    @property
    def nbytes(self) -> int:
        """Size of the noise that is kept."""
        return sum(noise.untyped_storage().nbytes() for noise, _ in self._drawn.values())

    def clear(self) -> None:
        self._drawn.clear()

    def _noise(self, x: Tensor, p: float) -> Tensor:
        generator = torch.default_generator
        state = generator.get_state().numpy().tobytes()
        draw = (state, x.shape, x.stride(), x.dtype, p)
        if kept := self._drawn.get(draw):
            noise, after = kept
            generator.set_state(after)
            self.replayed += 1
            return noise
        # Factors are kept, not bits: a factor from a bit takes as long as four multiplications.
        noise = torch.empty_like(x).bernoulli_(1 - p).div_(1 - p)
        self._drawn[draw] = noise, generator.get_state()
        return noise


def replays(where: Execution) -> bool:
    """Return whether students that compute there replay equal noise.

    A GPU draws noise at the speed of its memory. Compiled blocks draw their own. Micro-batches and
    gradient checkpointing spend time to save memory, which kept noise would take back.
    """
    frugal = where.micro_batch is not None or where.gradient_checkpointing
    return where.device.type == "cpu" and not where.compile and not frugal


@contextmanager
def replayed_dropout() -> Iterator[DropoutReplay | None]:
    """Replay equal noise of dropout on the CPU inside the context; its end frees the noise.

    This covers every call of `aten::dropout`: that of torch.nn.Dropout, and that inside scaled dot
    product attention. Other random operators are not changed. Yields None, and noise is drawn as
    always, if torch's own arithmetic differs, or another thread is in such a context.
    """
    if not _has_arithmetic_of_torch() or not _entered.acquire(blocking=False):
        yield None
        return
    replay = DropoutReplay()
    library = Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    try:
        library.impl("dropout", replay, "AutogradCPU")  # type: ignore[no-untyped-call]
        yield replay
    finally:
        library._destroy()  # type: ignore[no-untyped-call]
        replay.clear()
        _entered.release()


@cache
def _has_arithmetic_of_torch() -> bool:
    """Compare with the operator of the installed torch, which may have changed."""
    own = DropoutReplay()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        before = torch.default_generator.get_state()
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            x = torch.linspace(-1, 1, 999).to(dtype)
            torch.default_generator.set_state(before)
            wanted, wanted_state = torch.dropout(x, 0.1, True), torch.default_generator.get_state()
            torch.default_generator.set_state(before)
            found, state = own(x, 0.1, True), torch.default_generator.get_state()
            if not (torch.equal(wanted, found) and torch.equal(wanted_state, state)):
                return False
    return True
