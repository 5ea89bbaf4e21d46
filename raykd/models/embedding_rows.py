"""A student's word embedding, trained in those rows that the training split touches and no others.

Most of a small student is its word embedding, and most of that are tokens that no training row
holds. Their gradient is zero at every step, and so is what AdamW remembers of it: all that happens
to them is weight decay. Here they have neither gradient nor moments, and their decay is made up for
when somebody looks. What comes out is what a pass over the whole table gives, bit for bit but for
the order in which the norm of the gradients is summed.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

PAYS = 0.75  # share of the table in use up to which rows apart are worth having
CACHED = 256  # rows that stay in a core's cache while they decay for all the steps since


class EmbeddingRows(nn.Embedding):
    """Looks tokens up in `rows` while it trains; in eval mode, and in its state, in the whole
    `weight`, which is then up to date. In training mode a token outside `used` is an IndexError.

    `used`: int64 [U], sorted, distinct. `rows`: a parameter [U, D], no part of the state.
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
        pad = count if words.padding_idx is None else int(place[words.padding_idx])
        self._pad = pad if pad < len(used) else None
        self.register_buffer("place", place.to(words.weight.device), persistent=False)
        # Not registered: the state is that of the embedding that this one stands for.
        self.__dict__["rows"] = nn.Parameter(self.weight[self.used])
        self._decays: list[float] = []
        hooks: Any = self
        hooks.register_state_dict_pre_hook(lambda *_: self.settle())
        hooks.register_load_state_dict_post_hook(lambda *_: self._loaded())

    def forward(self, ids: Tensor) -> Tensor:
        if not self.training:
            return super().forward(ids)
        return F.embedding(self.place[ids], self.rows, self._pad)

    def decayed(self, factor: float) -> None:
        """A step of the optimiser has multiplied every row by so much."""
        if factor != 1.0:
            self._decays.append(factor)

    @torch.no_grad()
    def settle(self) -> None:
        """Bring `weight` up to date."""
        parts = (self.weight,) if self.weight.is_cuda else torch.split(self.weight, CACHED)
        for part in parts if self._decays else ():
            for factor in self._decays:  # one by one, as every step would have rounded it
                part.mul_(factor)
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
        """Keep no memory; it cannot be used any more."""
        self.rows.data = self.rows.new_empty(0)
        self.rows.grad = None


def tokens_in(input_ids: np.ndarray, pad: int) -> Tensor:
    """The distinct tokens of a split, and the one that pads its batches; int64, sorted."""
    return torch.from_numpy(np.flatnonzero(np.bincount(np.append(input_ids, pad))))


def train_rows(model: PreTrainedModel, used: Tensor) -> EmbeddingRows | None:
    """Put a `Vocabulary` over the tokens `used` in the place of a model's word embedding. None, and
    nothing done, where that would save little, or the embedding serves elsewhere too (as an output
    layer, in a second stack)."""
    try:
        words: Any = model.get_input_embeddings()
    except NotImplementedError:  # a model that transformers knows no word embedding of
        return None
    if type(words) is not nn.Embedding or words.sparse or words.max_norm is not None:
        return None
    if not words.weight.requires_grad:  # frozen by the file, or beside adapters
        return None
    names = [n for n, p in model.named_parameters(remove_duplicate=False) if p is words.weight]
    if len(names) > 1 or len(used) > PAYS * words.num_embeddings:
        return None
    vocabulary = EmbeddingRows(words, used)
    model.set_input_embeddings(vocabulary)
    return vocabulary
