"""Lists of tokens: concatenation into flat arrays, and their lengths before truncation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def whole_lengths(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[Sequence[str]], lengths: np.ndarray,
    limit: int, names: Sequence[str] = ("text", "text_pair"),
) -> np.ndarray:  # fmt: skip
    """Tokens of each text, or pair of texts, before truncation to `limit`. `lengths` are those
    after truncation; only texts that reach the limit are tokenised again. `names` are the names of
    the arguments of the tokenizer."""
    totals: np.ndarray = lengths.astype(np.int32)
    reached = np.flatnonzero(lengths >= limit).tolist()
    if reached:
        long_texts = {
            name: [column[i] for i in reached] for name, column in zip(names, texts, strict=False)
        }
        whole = tokenizer(**long_texts, truncation=False, padding=False, verbose=False)["input_ids"]
        # A target may have an end token that its tokenizer does not add.
        totals[reached] = np.maximum(totals[reached], [len(ids) for ids in whole])
    return totals


def flat(values: str, offsets: str, lists: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """Concatenates token lists, and gives the offsets of each, under the names `values` and
    `offsets`."""
    ends = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int64)
    return {values: np.concatenate([np.array(x, np.int32) for x in lists]), offsets: ends}
