"""Attention masks of a batch whose padding the host knows, so that it need not ask the device.

transformers leaves a mask out where nothing is padded, and to find that out it reads the 2D mask:
on a GPU the host then waits for the device in every pass, of the teacher and of each student. The
batches of raykd are padded on the host. Inside `known_padding` the same masks are made, or left
out, by what it states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.utils import import_utils


@dataclass(frozen=True)
class Padding:
    """The shape [B, T] of a 2D mask, and whether any of its places is padding."""

    shape: tuple[int, ...]
    padded: bool

    @classmethod
    def of(cls, mask_BT: Tensor, valid_N: Tensor) -> Padding:
        """`valid_N` holds the places of the mask that are not padding."""
        return cls(tuple(mask_BT.shape), len(valid_N) < mask_BT.numel())


_KNOWN: ContextVar[tuple[Padding, Padding] | None] = ContextVar("known padding", default=None)


@contextmanager
def known_padding(causal: Padding, bidirectional: Padding | None = None) -> Iterator[None]:
    """State the padding of the masks that a pass inside makes: causal ones, and bidirectional ones
    (of encoders and of cross-attention), by default the same."""
    token = _KNOWN.set((causal, bidirectional or causal))
    try:
        yield
    finally:
        _KNOWN.reset(token)


def _told(make: Callable[..., Any]) -> Callable[..., Any]:
    """A mask function of transformers that does not read a mask of which the padding is known."""

    @wraps(make)
    def mask(*args: Any, **kwargs: Any) -> Any:
        known, mask_BT = _KNOWN.get(), kwargs.get("attention_mask")
        if known is None or mask_BT is None or import_utils.is_tracing(mask_BT):
            return make(*args, **kwargs)
        bidirectional = "allow_is_bidirectional_skip" in kwargs
        padding = known[bidirectional]
        if tuple(mask_BT.shape) != padding.shape or mask_BT.shape[1] != kwargs.get("kv_length"):
            return make(*args, **kwargs)  # a mask that the model has changed
        if not padding.padded:
            return make(*args, **{**kwargs, "attention_mask": None})
        kwargs["allow_is_causal_skip"] = False
        if bidirectional:
            kwargs["allow_is_bidirectional_skip"] = False
        return make(*args, **kwargs)

    return mask


for _name in ("sdpa", "eager"):
    AttentionMaskInterface.register(_name, _told(ALL_MASK_ATTENTION_FUNCTIONS[_name]))
