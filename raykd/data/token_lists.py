"""Texts as lists of tokens: laid one after the other, and how long they were before a cut."""

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
    """Tokens of each text, or pair of texts, before the cut to `limit` that left `lengths`. Only
    those that reach the limit are tokenised once more. `names`: of the tokenizer's arguments."""
    found: np.ndarray = lengths.astype(np.int32)
    reached = np.flatnonzero(lengths >= limit).tolist()
    if reached:
        again = {
            name: [column[i] for i in reached] for name, column in zip(names, texts, strict=False)
        }
        whole = tokenizer(**again, truncation=False, padding=False, verbose=False)["input_ids"]
        # A target may have been given an end that its tokenizer does not write.
        found[reached] = np.maximum(found[reached], [len(ids) for ids in whole])
    return found


def flat(values: str, offsets: str, lists: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """Token lists one after the other, and where each begins and ends, by these names."""
    ends = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int64)
    return {values: np.concatenate([np.array(x, np.int32) for x in lists]), offsets: ends}
