"""Trains only the rows of a student's word embedding that the training split uses.

Most parameters of a small student are in its word embedding, and most of its rows belong to tokens
that no training row contains. Their gradients and the moments of AdamW are zero at every step, so
weight decay is their only change. Here these rows have neither gradients nor moments, and their
decay is applied when the whole table is read. The result equals an update of the whole table bit
for bit, except for the summation order of the gradient norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

PAYS = 0.75  # largest share of used rows at which separate rows still save time
CACHED = 256  # rows that fit into the cache of a core while their pending decay steps are applied


class EmbeddingRows(nn.Embedding):
    """An embedding that looks tokens up in `rows` during training. In eval mode, and in the state
    dict, it uses the whole `weight`, which is brought up to date first. In training mode a token
    outside `used` raises an IndexError.

    `used`: int64 [U], sorted, distinct. `rows`: a parameter [U, D], not part of the state dict.
    """

    rows: nn.Parameter
    place: Tensor

    def __init__(self, words: nn.Embedding, used: Tensor) -> None:
        count, width = words.weight.shape
        super().__init__(
            count, width, words.padding_idx, _weight=words.weight.detach(), _freeze=True
        )
        self.used = used.to(words.weight.device)
        place = torch.full((count,), count)
        place[used] = torch.arange(len(used))
        padding = used.numpy() == words.padding_idx  # on the host: no weight is read
        self._pad = int(padding.argmax()) if padding.any() else None
        self.register_buffer("place", place.to(words.weight.device), persistent=False)
        # Not registered: the state dict is that of the embedding that this module replaces.
        self.__dict__["rows"] = nn.Parameter(self.weight[self.used])
        self._decays: list[float | Tensor] = []
        hooks: Any = self
        hooks.register_state_dict_pre_hook(lambda *_: self.settle())
        hooks.register_load_state_dict_post_hook(lambda *_: self._loaded())

    def forward(self, ids: Tensor) -> Tensor:
        if not self.training:
            return super().forward(ids)
        return F.embedding(self.place[ids], self.rows, self._pad)

    def decayed(self, factor: float, skipped: Tensor | None = None) -> None:
        """Records that an optimiser step multiplied every row by `factor`. `skipped`: a boolean
        scalar, whether that step was skipped; it is not read on the host, which would wait."""
        if factor == 1.0:
            return
        if skipped is None:
            self._decays.append(factor)
        else:  # fp32, to which a product with a number rounds it too
            whole = torch.full_like(skipped, factor, dtype=torch.float32)
            self._decays.append(whole.masked_fill_(skipped, 1.0))

    @torch.no_grad()
    def settle(self) -> None:
        """Brings `weight` up to date."""
        decay(self.weight, self._decays)
        self._decays.clear()
        self.weight.index_copy_(0, self.used, self.rows)

    @torch.no_grad()
    def _loaded(self) -> None:
        self._decays.clear()
        self.rows.copy_(self.weight[self.used])

    def train(self, mode: bool = True) -> Self:
        if self.training and not mode:
            self.settle()
        return super().train(mode)

    def release(self) -> None:
        """Frees the memory; the module cannot be used afterwards."""
        self.rows.data = self.rows.new_empty(0)
        self.rows.grad = None


@torch.no_grad()
def decay(weight: Tensor, factors: Sequence[float | Tensor]) -> None:
    """Multiplies a table in place by factors, one by one, to round as every step would have."""
    for part in (weight,) if weight.is_cuda else torch.split(weight, CACHED):
        for factor in factors:
            part.mul_(factor)


def tokens_in(input_ids: np.ndarray, pad: int) -> Tensor:
    """The distinct tokens of a split, and the padding token of its batches; int64, sorted."""
    return torch.from_numpy(np.flatnonzero(np.bincount(np.append(input_ids, pad))))


def train_rows(model: PreTrainedModel, used: Tensor) -> EmbeddingRows | None:
    """Replaces the word embedding of a model by `EmbeddingRows` over the tokens `used`. Returns
    None and changes nothing if that would save little, or if the embedding is used elsewhere too
    (as an output layer, or in a second stack)."""
    try:
        words: Any = model.get_input_embeddings()
    except NotImplementedError:  # transformers does not know the word embedding of the model
        return None
    if type(words) is not nn.Embedding or words.sparse or words.max_norm is not None:
        return None
    if not words.weight.requires_grad:  # frozen by the sweep file, or by LoRA
        return None
    names = [n for n, p in model.named_parameters(remove_duplicate=False) if p is words.weight]
    if len(names) > 1 or len(used) > PAYS * words.num_embeddings:
        return None
    vocabulary = EmbeddingRows(words, used)
    model.set_input_embeddings(vocabulary)
    return vocabulary
